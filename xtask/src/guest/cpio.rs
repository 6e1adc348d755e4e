//! An initramfs: a cpio archive in the "newc" form that Linux reads. (Linux, initramfs buffer format)

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const SYMLINK: u32 = 0o120_777;

/// Changes when the same content makes another archive, so that cached ones are made again.
pub(super) const FORMAT: &[u8] = b"newc, gzip";

const MAGIC: &[u8] = b"070701";
/// The magic and 13 fields of 8 digits.
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";

/// Folders every initramfs has; the mount points of `init` among them.
const FOLDERS: [&str; 7] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/// A program or a link, as it goes into an archive.
pub(super) struct Entry {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    /// A program.
    pub(super) fn program(path: &str, content: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            mode: PROGRAM,
            content,
        }
    }
}

/// Makes the initramfs: these programs, busybox among them, the files of `overlay`, and what the kernel wants to find.
pub(super) fn initramfs(programs: &[Entry], overlay: &Path) -> Result<Vec<u8>> {
    let files = files_below(overlay)?;
    let mut archive = Archive::default();
    let parents = programs.iter().map(|entry| entry.path.as_str());
    let parents = parents.chain(files.iter().map(|(path, _)| path.as_str()));
    for folder in folders_of(parents) {
        archive.add(&folder, DIRECTORY, (0, 0), b"")?;
    }
    // The first process gets its standard input and output from here.
    archive.add("dev/console", CHARACTER_DEVICE, (5, 1), b"")?;
    for entry in programs {
        archive.add(&entry.path, entry.mode, (0, 0), &entry.content)?;
    }
    archive.add("bin/sh", SYMLINK, (0, 0), b"busybox")?;
    for (path, bytes) in files {
        archive.add(&path, PROGRAM, (0, 0), &bytes)?;
    }
    compress(&archive.finish()?)
}

/// The usual folders and all that these paths lie in, each before what is in it.
fn folders_of<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut folders: BTreeSet<String> = FOLDERS.map(str::to_owned).into();
    for path in paths {
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    folders
}

/// Takes files out of an archive, compressed by gzip.
///
/// # Errors
/// It is damaged, or one of `paths` is not in it.
pub(super) fn extract(archive: &[u8], paths: &[String]) -> Result<Vec<Entry>> {
    let archive = super::unpack::gunzip(archive)?;
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let (entry, next) = entry_at(&archive, at).with_context(|| format!("at byte {at}"))?;
        if entry.path == TRAILER {
            break;
        }
        if paths.contains(&entry.path) {
            found.push(entry);
        }
        at = next;
    }
    for path in paths {
        ensure!(
            found.iter().any(|entry| entry.path == *path),
            "it has no file {path}"
        );
    }
    Ok(found)
}

/// The entry that begins there, and where the next does.
fn entry_at(archive: &[u8], at: usize) -> Result<(Entry, usize)> {
    let header = archive.get(at..at + HEADER).context("it is cut off")?;
    ensure!(header.starts_with(MAGIC), "no cpio header of the newc form");
    let field = |index: usize| {
        let digits = header
            .get(MAGIC.len() + 8 * index..)
            .and_then(|rest| rest.get(..8));
        let digits = std::str::from_utf8(digits.unwrap_or_default())?;
        u32::from_str_radix(digits, 16).with_context(|| format!("`{digits}` is no number"))
    };
    let (mode, size, name_size) = (field(1)?, field(6)? as usize, field(11)? as usize);
    let name = archive.get(at + HEADER..at + HEADER + name_size);
    let name = name
        .and_then(|name| name.strip_suffix(&[0]))
        .context("no name")?;
    let content_at = (at + HEADER + name_size).next_multiple_of(4);
    let content = archive
        .get(content_at..content_at + size)
        .context("it is cut off")?;
    let entry = Entry {
        path: std::str::from_utf8(name)?
            .trim_start_matches("./")
            .to_owned(),
        mode,
        content: content.to_owned(),
    };
    Ok((entry, (content_at + size).next_multiple_of(4)))
}

/// Compresses an archive, padded so that another may follow: Linux looks for one at each multiple of 4.
///
/// A guest's files stay in memory for its restarts, so they had better be small.
fn compress(archive: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(archive)?;
    let mut bytes = gzip.finish()?;
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    Ok(bytes)
}

/// Makes an archive of programs alone, to be appended to an initramfs: Linux unpacks one after another, the last word counts.
///
/// # Errors
/// A program is too large for the format: 4 GiB.
pub fn overlay(programs: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for (name, bytes) in programs {
        archive.add(name, PROGRAM, (0, 0), bytes)?;
    }
    archive.finish()
}

/// Files below a folder with their path from it, sorted.
pub(super) fn files_below(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    fn collect(folder: &Path, prefix: &str, into: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        for file in
            std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
        {
            let file = file?;
            let path = format!("{prefix}{}", file.file_name().to_string_lossy());
            if file.file_type()?.is_dir() {
                collect(&file.path(), &format!("{path}/"), into)?;
            } else {
                into.push((path, std::fs::read(file.path())?));
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    files.sort();
    Ok(files)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.count += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let size = u32::try_from(content.len())?;
        let name_size = u32::try_from(name.len() + 1)?;
        // Magic, then inode, mode, owner, group, links, time, size, the device it is on, the device it is, name size,
        // checksum. Owner root and time 0, so that the same input makes the same archive.
        self.bytes.extend(MAGIC);
        for field in [
            self.count, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ] {
            write!(self.bytes, "{field:08X}")?;
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend(content);
        self.pad(4);
        Ok(())
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.add(TRAILER, 0, (0, 0), b"")?;
        self.pad(512);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_110_byte_header_and_aligned_content() {
        let mut archive = Archive::default();
        archive.add("init", PROGRAM, (0, 0), b"abc").unwrap();
        assert_eq!(&archive.bytes[..6], b"070701");
        assert_eq!(&archive.bytes[110..115], b"init\0");
        assert_eq!(&archive.bytes[116..119], b"abc");
        assert_eq!(archive.bytes.len(), 120);
    }

    #[test]
    fn what_went_in_comes_out() {
        let overlay = tempfile::tempdir().unwrap();
        let programs = [Entry::program("usr/lib/x.so", b"abcde".to_vec())];
        let archive = initramfs(&programs, overlay.path()).unwrap();
        let found = extract(&archive, &["usr/lib/x.so".to_owned()]).unwrap();
        assert_eq!(found[0].content, b"abcde");
        assert_eq!(found[0].mode, PROGRAM);
        assert!(extract(&archive, &["usr/lib".to_owned()]).is_ok());
        assert!(extract(&archive, &["usr/lib/y.so".to_owned()]).is_err());
    }

    #[test]
    fn an_archive_ends_with_its_trailer() {
        let bytes = Archive::default().finish().unwrap();
        assert_eq!(&bytes[110..120], b"TRAILER!!!");
        assert_eq!(bytes.len() % 512, 0);
    }
}
