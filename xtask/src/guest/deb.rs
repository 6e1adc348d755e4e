//! Files out of Debian packages, got through apt and checked against its metadata.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::command::{output, output_bytes, watched};

/// A package file on this machine.
pub(super) struct Package {
    name: String,
    version: String,
    path: PathBuf,
}

/// What apt knows about the version it would install.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    version: String,
    depends: String,
    file_name: String,
    sha256: String,
}

/// Fetches a package; for a kernel's meta package the kernel that it depends on.
pub(super) fn fetch(name: &str) -> Result<Package> {
    match kernel_behind(name, &record(name)?.depends) {
        Some(real) => fetch_named(&real),
        None => fetch_named(name),
    }
}

/// A kernel's meta package has exactly one dependency that matters, and its name begins the same way.
fn kernel_behind(name: &str, depends: &str) -> Option<String> {
    const KERNEL: &str = "linux-image-";
    if !name.starts_with(KERNEL) {
        return None;
    }
    depends
        .split(',')
        .filter_map(|one| one.split_whitespace().next())
        .find(|name| name.starts_with(KERNEL))
        .map(str::to_owned)
}

fn fetch_named(name: &str) -> Result<Package> {
    let found = record(name)?;
    match download(name, &found) {
        Ok(package) => Ok(package),
        Err(first) => {
            // The mirror may have moved on since the lists were fetched.
            crate::ui::say(format!("{first:#}; trying again with fresh package lists"));
            crate::need::apt_update()?;
            download(name, &record(name)?)
        }
    }
}

/// Asks apt; fetches its lists first if it knows nothing.
fn record(name: &str) -> Result<Record> {
    let ask = || output(Command::new("apt-cache").args(["show", "--no-all-versions", name]));
    let text = match ask() {
        Ok(text) if !text.trim().is_empty() => text,
        _ => {
            crate::need::apt_update()
                .with_context(|| format!("apt does not know the package {name}"))?;
            ask().with_context(|| format!("apt does not know the package {name}"))?
        }
    };
    let record = parse(&text);
    if record.sha256.is_empty() || record.version.is_empty() {
        bail!("apt has no checksum for the package {name}");
    }
    Ok(record)
}

fn parse(text: &str) -> Record {
    let mut record = Record::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        let value = value.trim().to_owned();
        match key {
            "Version" if record.version.is_empty() => record.version = value,
            "Depends" if record.depends.is_empty() => record.depends = value,
            "Filename" if record.file_name.is_empty() => record.file_name = value,
            "SHA256" if record.sha256.is_empty() => record.sha256 = value,
            _ => {}
        }
    }
    record
}

fn download(name: &str, record: &Record) -> Result<Package> {
    let folder = crate::paths::target_dir("guests/packages")?;
    let kept = folder.join(format!("{}.deb", record.sha256));
    let package = |path: &Path| Package {
        name: name.to_owned(),
        version: record.version.clone(),
        path: path.to_owned(),
    };
    if is_intact(&kept, &record.sha256) {
        return Ok(package(&kept));
    }
    let scratch = crate::procs::Scratch::new("apt")?;
    let mut command = Command::new("apt-get");
    command
        .args(["download", "-q", &format!("{name}={}", record.version)])
        .current_dir(scratch.path());
    watched(
        &format!("downloading {name} {}", record.version),
        &mut command,
    )?;
    let file = std::fs::read_dir(scratch.path())?
        .filter_map(Result::ok)
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download brought no file for {name}"))?;
    if !is_intact(&file, &record.sha256) {
        bail!(
            "the downloaded {name} does not have the SHA-256 that apt's metadata gives, {}",
            record.sha256
        );
    }
    std::fs::rename(&file, &kept)?;
    Ok(package(&kept))
}

fn is_intact(path: &Path, expected: &str) -> bool {
    std::fs::read(path).is_ok_and(|bytes| sha256(&bytes) == expected)
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Package {
    /// Name and version, for messages and the manifest.
    pub(super) fn id(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Unpacks it, for files to be taken out.
    pub(super) fn open(self) -> Result<Content> {
        let scratch = crate::procs::Scratch::new("deb")?;
        let tar = scratch.path().join("content.tar");
        let status = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&self.path)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&tar)?)
            .status()
            .context("starting dpkg-deb")?;
        if !status.success() {
            bail!("dpkg-deb cannot read {} ({status})", self.path.display());
        }
        let list = output(Command::new("tar").arg("-tf").arg(&tar))?;
        Ok(Content {
            package: self,
            list,
            tar,
            _scratch: scratch,
        })
    }
}

/// What is in a package.
pub(super) struct Content {
    package: Package,
    list: String,
    tar: PathBuf,
    _scratch: crate::procs::Scratch,
}

impl Content {
    /// Name and version of the package.
    pub(super) fn id(&self) -> String {
        self.package.id()
    }

    /// One file's bytes. A `*` at the pattern's end stands for anything.
    pub(super) fn file(&self, pattern: &str) -> Result<Vec<u8>> {
        let member = self.list.lines().find(|member| matches(pattern, member));
        self.member(member.with_context(|| format!("{} has no file {pattern}", self.id()))?)
    }

    /// A module of the kernel in it, by its path in the kernel's sources, with `.ko`.
    pub(super) fn kernel_module(&self, path: &str) -> Result<Vec<u8>> {
        let end = format!("/kernel/{path}");
        let member = self.list.lines().find(|member| member.ends_with(&end));
        self.member(member.with_context(|| format!("{} has no module {path}", self.id()))?)
    }

    fn member(&self, member: &str) -> Result<Vec<u8>> {
        output_bytes(
            Command::new("tar")
                .arg("-xOf")
                .arg(&self.tar)
                .arg(member)
                .stderr(Stdio::inherit()),
        )
    }
}

fn matches(pattern: &str, member: &str) -> bool {
    let member = member.trim_start_matches("./");
    match pattern.strip_suffix('*') {
        Some(start) => member
            .strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
        None => member == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_counts() {
        let record = parse(
            "Package: a\nVersion: 2\nDepends: linux-image-6 (= 2)\nSHA256: ff\n\nVersion: 1\nSHA256: 00\n",
        );
        assert_eq!(record.version, "2");
        assert_eq!(record.sha256, "ff");
        assert_eq!(record.depends, "linux-image-6 (= 2)");
    }

    #[test]
    fn only_a_kernel_is_looked_for_behind_a_meta_package() {
        let depends = "linux-image-6.1.0-50-amd64 (= 6.1.176-1)";
        let real = kernel_behind("linux-image-amd64", depends);
        assert_eq!(real.as_deref(), Some("linux-image-6.1.0-50-amd64"));
        assert_eq!(kernel_behind("xen-hypervisor-4.17-amd64", depends), None);
        assert_eq!(
            kernel_behind("linux-image-6.1.0-50-amd64", "kmod, linux-base"),
            None
        );
    }

    #[test]
    fn a_star_matches_within_one_folder() {
        assert!(matches(
            "boot/vmlinuz-*",
            "./boot/vmlinuz-6.1.0-56-cloud-amd64"
        ));
        assert!(!matches("boot/vmlinuz-*", "./boot/vmlinuz-/x"));
        assert!(!matches("bin/busybox", "./usr/bin/busybox"));
    }

    #[test]
    fn sha256_of_nothing_is_the_known_one() {
        assert!(sha256(b"").starts_with("e3b0c44298fc1c14"));
    }
}
