//! Telling kernel images apart by their content.
//!
//! The first that fits, in this order:
//!
//! 1. `HdrS` at offset 0x202: Linux bzImage.
//! 2. ELF with Xen's note of a 32-bit entry: PVH. It is the plainest of what such a file may offer.
//! 3. A Multiboot 2 header in the first 32 KiB, with a right checksum.
//! 4. A Multiboot 1 header in the first 8 KiB, with a right checksum.
//! 5. ELF, by its class.
//! 6. Multiboot's magic number with a wrong checksum, so that the error says so.

use crate::{multiboot1, multiboot2, pvh};

/// Kind of a kernel file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Linux kernel with a boot sector: `HdrS` at offset 0x202.
    BzImage,
    /// An ELF file with `XEN_ELFNOTE_PHYS32_ENTRY`.
    Pvh,
    /// A file with a Multiboot 2 header.
    Multiboot2,
    /// A file with a Multiboot 1 header.
    Multiboot1,
    /// A 64-bit ELF file.
    Elf64,
    /// A 32-bit ELF file.
    Elf32,
    /// None that can be started.
    Unknown,
}

/// Returns what kind of image `kernel` is. Only its signature is looked at: a damaged image may
/// still be refused by [`plan`](crate::plan()).
#[must_use]
pub fn detect(kernel: &[u8]) -> Kind {
    const ELF_32_BIT: &[u8] = b"\x7fELF\x01";
    const ELF_64_BIT: &[u8] = b"\x7fELF\x02";
    if kernel.get(0x202..0x206) == Some(b"HdrS") {
        Kind::BzImage
    } else if pvh::entry(kernel).is_some() {
        Kind::Pvh
    } else if multiboot2::SIGNATURE.find(kernel).is_some() {
        Kind::Multiboot2
    } else if multiboot1::SIGNATURE.find(kernel).is_some() {
        Kind::Multiboot1
    } else if kernel.starts_with(ELF_64_BIT) {
        Kind::Elf64
    } else if kernel.starts_with(ELF_32_BIT) {
        Kind::Elf32
    } else if multiboot2::SIGNATURE.find_magic(kernel).is_some() {
        Kind::Multiboot2
    } else if multiboot1::SIGNATURE.find_magic(kernel).is_some() {
        Kind::Multiboot1
    } else {
        Kind::Unknown
    }
}
