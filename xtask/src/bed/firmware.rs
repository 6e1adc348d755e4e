//! Where the distribution keeps firmware files.

use std::path::{Path, PathBuf};

/// Firmware for QEMU: code that is mapped read-only, and fresh variables to copy.
#[derive(Clone, Debug)]
pub struct Pflash {
    /// The code.
    pub code: PathBuf,
    /// The variables' first state.
    pub variables: PathBuf,
}

/// OVMF as two flash images.
pub fn pflash() -> Option<Pflash> {
    [
        (
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/OVMF/OVMF_VARS.fd",
        ),
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
    ]
    .into_iter()
    .map(|(code, variables)| Pflash {
        code: code.into(),
        variables: variables.into(),
    })
    .find(|both| both.code.is_file() && both.variables.is_file())
}

/// OVMF as one image that ends at 4 GiB, for Bochs.
pub fn combined() -> Option<PathBuf> {
    first_of(&[
        "/usr/share/ovmf/OVMF.fd",
        "/usr/share/OVMF/OVMF.fd",
        "/usr/share/qemu/OVMF.fd",
    ])
}

/// A video BIOS for Bochs.
pub fn vga() -> Option<PathBuf> {
    first_of(&[
        "/usr/share/vgabios/vgabios.bin",
        "/usr/share/bochs/VGABIOS-lgpl-latest",
        "/usr/share/bochs/VGABIOS-lgpl-latest.bin",
    ])
}

fn first_of(paths: &[&str]) -> Option<PathBuf> {
    paths
        .iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .map(Path::to_owned)
}
