//! Which Rust builds for bare metal: one with the targets, Debian's with the library sources, or rustup's help.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, bail};

use crate::command::{find, output};
use crate::need::{self, Need};
use crate::ui::say;

/// Target of the hypervisor and of the test guests.
pub const NONE: &str = "x86_64-unknown-none";
/// Target of the boot loader.
pub const UEFI: &str = "x86_64-unknown-uefi";
/// Oldest compiler, as in the root manifest's `rust-version`: 1.this.
const OLDEST_MINOR: u32 = 95;

/// What the user asked for with `--toolchain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The first that works: targets already there, Debian's Rust, rustup.
    #[default]
    Auto,
    /// The active toolchain, its bare-metal targets added by rustup if they are missing.
    Rustup,
    /// Debian's rustc-web, which builds the core library itself.
    Debian,
}

static CHOICE: AtomicU8 = AtomicU8::new(0);

/// Remembers the user's choice for the rest of the process.
pub fn set_choice(choice: Choice) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

fn choice() -> Choice {
    match CHOICE.load(Ordering::Relaxed) {
        1 => Choice::Rustup,
        2 => Choice::Debian,
        _ => Choice::Auto,
    }
}

/// A way to build for bare metal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare {
    /// The active toolchain has the targets.
    Prebuilt,
    /// This pair has the library sources and builds `core` and `alloc` itself.
    BuildStd(Pair),
}

/// A compiler and its cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Path of `rustc`.
    pub rustc: PathBuf,
    /// Path of `cargo`.
    pub cargo: PathBuf,
}

impl Bare {
    /// In words, for `setup`.
    pub fn describe(&self) -> String {
        match self {
            Self::Prebuilt => "the active toolchain, which has the bare-metal targets".to_owned(),
            Self::BuildStd(pair) => format!(
                "{}, which builds the core library itself",
                pair.rustc.display()
            ),
        }
    }

    /// Folder below `target/` that its builds use.
    pub fn folder(&self) -> &'static str {
        match self {
            Self::Prebuilt => "bare",
            Self::BuildStd(_) => "bare-std",
        }
    }

    /// A cargo command for it with everything but the packages to build: subcommand, target, environment.
    ///
    /// # Errors
    /// No linker is found.
    pub fn cargo_build(&self, target: &str) -> Result<Command> {
        self.cargo_build_in(target, self.folder())
    }

    /// As [`Self::cargo_build`], in another folder below `target/`.
    ///
    /// # Errors
    /// As there.
    pub fn cargo_build_in(&self, target: &str, folder: &str) -> Result<Command> {
        let mut command = match self {
            Self::Prebuilt => {
                let mut command = Command::new("cargo");
                command.args(["build"]);
                command
            }
            Self::BuildStd(pair) => build_std_command(pair)?,
        };
        command
            .current_dir(crate::paths::root())
            .env("RUSTUP_AUTO_INSTALL", "0")
            .args(["--target", target, "--target-dir"])
            .arg(crate::paths::target_dir(folder)?);
        Ok(command)
    }
}

fn build_std_command(pair: &Pair) -> Result<Command> {
    let mut command = Command::new(&pair.cargo);
    command.args([
        "build",
        "-Zbuild-std=core,alloc,compiler_builtins",
        "-Zbuild-std-features=compiler-builtins-mem",
    ]);
    // What the outer cargo left in the environment names the other toolchain's tools.
    for name in [
        "RUSTUP_TOOLCHAIN",
        "CARGO",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
    command
        .env("RUSTC", &pair.rustc)
        .env("RUSTC_BOOTSTRAP", "1");
    if let Some(linker) = rust_lld() {
        command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", &linker);
        command.env("CARGO_TARGET_X86_64_UNKNOWN_UEFI_LINKER", &linker);
    } else {
        need::ensure(&[Need::Lld])?;
        command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", "ld.lld");
        command.env(
            "CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS",
            "-Clinker-flavor=ld.lld",
        );
        command.env("CARGO_TARGET_X86_64_UNKNOWN_UEFI_LINKER", "lld-link");
        command.env(
            "CARGO_TARGET_X86_64_UNKNOWN_UEFI_RUSTFLAGS",
            "-Clinker-flavor=lld-link",
        );
    }
    Ok(command)
}

/// The linker that rustup's toolchains bring along.
fn rust_lld() -> Option<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).ok()?;
    let hosts = Path::new(sysroot.trim()).join("lib/rustlib");
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    Some(hosts.join(host).join("bin/rust-lld")).filter(|path| path.is_file())
}

/// Finds a way to build for bare metal, and installs what is missing for it.
///
/// The order: targets already in the active toolchain; Debian's Rust, installed or offered by apt; rustup.
///
/// # Errors
/// None of them is there and none can be installed.
pub fn bare() -> Result<Bare> {
    let choice = choice();
    if choice != Choice::Debian && has_targets() {
        return Ok(Bare::Prebuilt);
    }
    if choice != Choice::Rustup {
        if let Some(pair) = find_build_std() {
            return Ok(Bare::BuildStd(pair));
        }
        if choice == Choice::Debian || need::apt_offers(&["rustc-web", "cargo-web", "rust-web-src"])
        {
            need::ensure(&[Need::DebianRust])?;
            if let Some(pair) = find_build_std() {
                return Ok(Bare::BuildStd(pair));
            }
        }
    }
    add_targets()?;
    if has_targets() {
        return Ok(Bare::Prebuilt);
    }
    bail!("the active toolchain still has no {NONE} and {UEFI} after `rustup target add`")
}

/// True if Debian's Rust is what [`bare`] would install.
pub fn wants_debian_rust() -> bool {
    match choice() {
        Choice::Rustup => false,
        Choice::Debian => true,
        Choice::Auto => {
            !has_targets()
                && find_build_std().is_none()
                && need::apt_offers(&["rustc-web", "cargo-web", "rust-web-src"])
        }
    }
}

fn has_targets() -> bool {
    [NONE, UEFI].iter().all(|target| {
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))
            .ok()
            .and_then(|dir| std::fs::read_dir(dir.trim()).ok())
            .is_some_and(|mut files| {
                files.any(|file| {
                    file.is_ok_and(|file| {
                        file.file_name().to_string_lossy().starts_with("libcore-")
                    })
                })
            })
    })
}

fn add_targets() -> Result<()> {
    if find("rustup").is_none() {
        bail!(
            "no Rust here can build for bare metal: the active toolchain lacks {NONE} and {UEFI}, apt offers no \
             rustc-web, and there is no rustup to add the targets"
        );
    }
    say(format!("missing: the Rust targets {NONE} and {UEFI}"));
    if need::is_install_forbidden() {
        bail!("not installed, as asked; the command is:\n  rustup target add {NONE} {UEFI}");
    }
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", NONE, UEFI])
        .current_dir(crate::paths::root());
    crate::command::watched(&format!("rustup target add {NONE} {UEFI}"), &mut command).map(drop)
}

/// A compiler with library sources: `CAISSON_RUSTC` and `CAISSON_CARGO`, else the first pair in `PATH` that has them.
pub fn find_build_std() -> Option<Pair> {
    if let (Some(rustc), Some(cargo)) = (
        std::env::var_os("CAISSON_RUSTC"),
        std::env::var_os("CAISSON_CARGO"),
    ) {
        return Some(Pair {
            rustc: rustc.into(),
            cargo: cargo.into(),
        });
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/bin".into()])
        .map(|dir| Pair {
            rustc: dir.join("rustc"),
            cargo: dir.join("cargo"),
        })
        .find(|pair| pair.rustc.is_file() && pair.cargo.is_file() && has_sources(&pair.rustc))
}

/// True for a compiler new enough that lies beside the sources of its libraries.
///
/// rustup's proxy answers for a toolchain that normally has no sources, so it is passed over.
fn has_sources(rustc: &Path) -> bool {
    let clean = |args: &[&str]| {
        output(
            Command::new(rustc)
                .args(args)
                .env_remove("RUSTUP_TOOLCHAIN")
                .env("RUSTUP_AUTO_INSTALL", "0"),
        )
    };
    let Ok(sysroot) = clean(&["--print", "sysroot"]) else {
        return false;
    };
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    sources.is_file()
        && clean(&["--version"]).is_ok_and(|text| minor_version(&text) >= Some(OLDEST_MINOR))
}

/// Returns whether a compiler or package of this version, `1.96.0…`, can build this project.
pub fn is_supported(version: &str) -> bool {
    minor_of(version) >= Some(OLDEST_MINOR)
}

/// The 95 of `rustc 1.95.0 (…)`.
fn minor_version(text: &str) -> Option<u32> {
    minor_of(text.split_whitespace().nth(1)?)
}

/// The 95 of `1.95.0`.
fn minor_of(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

/// Refuses `RUSTFLAGS`: it would silently replace the flags of `.cargo/config.toml`.
///
/// # Errors
/// The variable is set.
pub fn refuse_rustflags() -> Result<()> {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
            bail!(
                "{name} is set: it replaces the flags the bare-metal builds need (.cargo/config.toml); unset it, or \
                 use CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS, which adds to them"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_rustc_says() {
        assert_eq!(
            minor_version("rustc 1.96.0 (ac68faa20 2026-05-25)"),
            Some(96)
        );
        assert_eq!(minor_version("rustc"), None);
    }
}
