//! What a command needs from the machine it runs on: found, or said and installed.

mod apt;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use crate::command::find;
use crate::ui::say;

pub use apt::{offers as apt_offers, update as apt_update};

/// Environment variable that stops every installation, as `--no-install` does; for children and for users' profiles.
pub const NO_INSTALL: &str = "CAISSON_NO_INSTALL";

/// Something the machine must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// QEMU for x86: the AMD-V bed.
    Qemu,
    /// UEFI firmware for both beds.
    Ovmf,
    /// Bochs with a display that needs no screen: the VT-x bed.
    Bochs,
    /// The BIOS files Bochs wants to see.
    BochsBios,
    /// A video BIOS for Bochs.
    VgaBios,
    /// Debian's Rust that can build for bare metal, and the library sources.
    DebianRust,
    /// A linker for bare metal, where the Rust toolchain brings none.
    Lld,
    /// A C compiler, for the counting plugin of the bench bed.
    CCompiler,
}

impl Need {
    /// What it is, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU (qemu-system-x86_64)",
            Self::Ovmf => "UEFI firmware (OVMF)",
            Self::Bochs => "Bochs",
            Self::BochsBios => "the BIOS files of Bochs",
            Self::VgaBios => "a video BIOS for Bochs",
            Self::DebianRust => {
                "Debian's Rust for bare-metal builds (rustc-web, with library sources)"
            }
            Self::Lld => "the LLVM linker",
            Self::CCompiler => "a C compiler",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Qemu => &["qemu-system-x86"],
            Self::Ovmf => &["ovmf"],
            Self::Bochs => &["bochs"],
            Self::BochsBios => &["bochsbios"],
            Self::VgaBios => &["vgabios"],
            Self::DebianRust => &["rustc-web", "cargo-web", "rust-web-src"],
            Self::Lld => &["lld"],
            Self::CCompiler => &["gcc", "libc6-dev"],
        }
    }

    /// True if the machine has it.
    pub fn is_met(self) -> bool {
        match self {
            Self::Qemu => find("qemu-system-x86_64").is_some(),
            Self::Ovmf => {
                crate::bed::firmware::pflash().is_some()
                    && crate::bed::firmware::combined().is_some()
            }
            Self::Bochs => find("bochs").is_some(),
            Self::BochsBios => Path::new("/usr/share/bochs/BIOS-bochs-latest").is_file(),
            Self::VgaBios => crate::bed::firmware::vga().is_some(),
            Self::DebianRust => crate::toolchain::find_build_std().is_some(),
            Self::Lld => find("ld.lld").is_some() && find("lld-link").is_some(),
            Self::CCompiler => find("cc").is_some(),
        }
    }
}

/// What QEMU runs need.
pub const QEMU: &[Need] = &[Need::Qemu, Need::Ovmf];
/// What Bochs runs need.
pub const BOCHS: &[Need] = &[Need::Bochs, Need::BochsBios, Need::VgaBios, Need::Ovmf];

static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Forbids installing for the rest of the process (`--no-install`).
pub fn set_install_forbidden(is_forbidden: bool) {
    IS_FORBIDDEN.store(is_forbidden, Ordering::Relaxed);
}

/// True if installing was forbidden, by flag or by environment.
pub fn is_install_forbidden() -> bool {
    IS_FORBIDDEN.load(Ordering::Relaxed)
        || std::env::var_os(NO_INSTALL).is_some_and(|value| !value.is_empty())
}

/// Makes sure of everything in `needs`: says what is missing and what it installs, then installs it.
///
/// # Errors
/// Something is missing and may not, or cannot, be installed. The message holds the command to type.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<Need> = Vec::new();
    for need in needs {
        if !need.is_met() && !missing.contains(need) {
            missing.push(*need);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|need| need.name())
        .collect::<Vec<_>>()
        .join(", ");
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    say(format!("missing: {names}"));
    if find("apt-get").is_none() {
        bail!(
            "this machine has no apt-get; install with its own package manager what Debian calls: {}",
            packages.join(" ")
        );
    }
    if is_install_forbidden() {
        bail!(
            "not installed, as asked; the command is:\n  {}",
            apt::command_line_from_scratch(&packages)
        );
    }
    apt::install(&packages)?;
    for need in missing {
        if !need.is_met() {
            bail!(
                "{} is still missing although its packages ({}) are installed: are they too old? `apt-cache policy` tells",
                need.name(),
                need.packages().join(" ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_a_package() {
        for need in [QEMU, BOCHS, &[Need::DebianRust, Need::Lld, Need::CCompiler]].concat() {
            assert!(!need.packages().is_empty(), "{}", need.name());
        }
    }
}
