//! Telling kernel images apart by their content.

/// What a kernel file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Linux kernel with a boot sector: `HdrS` at offset 0x202.
    BzImage,
    /// A 64-bit ELF file.
    Elf64,
    /// None that can be started.
    Unknown,
}

/// Says what `kernel` is. Only its signature is looked at: a damaged image may still be refused by [`plan`](crate::plan).
#[must_use]
pub fn detect(kernel: &[u8]) -> Kind {
    const ELF_64_BIT: &[u8] = b"\x7fELF\x02";
    if kernel.get(0x202..0x206) == Some(b"HdrS") {
        Kind::BzImage
    } else if kernel.starts_with(ELF_64_BIT) {
        Kind::Elf64
    } else {
        Kind::Unknown
    }
}
