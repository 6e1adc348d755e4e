//! Small images of each kind, good ones: what tests damage.

#![expect(clippy::indexing_slicing, reason = "only tests have these images")]

use alloc::vec;
use alloc::vec::Vec;

const MIB: u64 = 1 << 20;
/// Where the one segment of all but bzImage goes, and where they are entered.
const AT: u64 = 2 * MIB;
const ENTRY: u32 = AT as u32 + 8;

pub(crate) fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(crate) fn put_words(image: &mut [u8], at: usize, words: &[u32]) {
    for (number, word) in words.iter().enumerate() {
        put(image, at + 4 * number, &word.to_le_bytes());
    }
}

/// A bzImage of one setup sector and 4 KiB of kernel that wants 1 MiB at 16 MiB.
#[must_use]
pub fn bzimage() -> Vec<u8> {
    let mut image = vec![0; 0x400 + 0x1000];
    put(&mut image, 0x1f1, &[1]);
    put(&mut image, 0x1f4, &0x100u32.to_le_bytes());
    put(&mut image, 0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(&mut image, 0x202, b"HdrS\x0f\x02");
    put(&mut image, 0x211, &[1]);
    put(&mut image, 0x22c, &0x7fff_ffffu32.to_le_bytes());
    put(&mut image, 0x236, &[1]);
    put(&mut image, 0x238, &0x7ffu32.to_le_bytes());
    put(&mut image, 0x258, &(16 * MIB).to_le_bytes());
    put(&mut image, 0x260, &(MIB as u32).to_le_bytes());
    image[0x400..].fill(0x90);
    image
}

/// An ELF with one segment: 16 bytes of the file, 32 in memory, at 2 MiB.
#[must_use]
pub fn elf() -> Vec<u8> {
    let mut image = vec![0; 0x100];
    put(&mut image, 0, b"\x7fELF\x02\x01\x01");
    put(&mut image, 0x10, &[2, 0, 62, 0, 1]);
    put(&mut image, 0x18, &(2 * MIB + 4).to_le_bytes());
    put(&mut image, 0x20, &64u64.to_le_bytes());
    put(&mut image, 0x34, &[64, 0, 56, 0, 1, 0]);
    put(&mut image, 0x40, &[1, 0, 0, 0, 5]);
    put(&mut image, 0x48, &0xf0u64.to_le_bytes());
    put(&mut image, 0x50, &(2 * MIB).to_le_bytes());
    put(&mut image, 0x58, &(2 * MIB).to_le_bytes());
    put(&mut image, 0x60, &16u64.to_le_bytes());
    put(&mut image, 0x68, &32u64.to_le_bytes());
    image[0xf0..].fill(0xf4);
    image
}

/// An ELF32 with one segment: 16 bytes of the file, 32 in memory.
#[must_use]
pub fn elf32() -> Vec<u8> {
    let mut image = vec![0; 0x100];
    put(&mut image, 0, b"\x7fELF\x01\x01\x01");
    put(&mut image, 0x10, &[2, 0, 3, 0, 1]);
    put_words(&mut image, 0x18, &[ENTRY, 0x34]);
    put(&mut image, 0x28, &[0x34, 0, 32, 0, 1, 0]);
    let at = AT as u32;
    put_words(&mut image, 0x34, &[1, 0xf0, at, at, 16, 32, 5]);
    image[0xf0..].fill(0xf4);
    image
}

/// The ELF64 of the other tests with a second segment: a note for somebody else, and Xen's with the entry.
#[must_use]
pub fn pvh() -> Vec<u8> {
    let mut image = elf();
    put(&mut image, 0x38, &[2]);
    put(&mut image, 0x78, &[4, 0, 0, 0, 4]);
    put(&mut image, 0x80, &0xb0u64.to_le_bytes());
    put(&mut image, 0x98, &0x2cu64.to_le_bytes());
    put_words(&mut image, 0xb0, &[4, 1, 18]);
    put(&mut image, 0xbc, b"GNU\0x");
    put_words(&mut image, 0xc4, &[4, 8, 18]);
    put(&mut image, 0xd0, b"Xen\0");
    put(&mut image, 0xd4, &u64::from(ENTRY).to_le_bytes());
    image
}

/// No ELF: 32 bytes of something, a Multiboot 1 header with addresses, and 32 bytes more; half of a page of zeros follows.
#[must_use]
pub fn multiboot1() -> Vec<u8> {
    let mut image = vec![0x90; 0x60];
    let flags = 0x1_0007;
    let magic = 0x1bad_b002u32;
    let checksum = 0u32.wrapping_sub(magic + flags);
    let at = AT as u32;
    let rest = [at + 0x10, at, at + 0x50, at + 0x800, ENTRY, 1, 80, 25];
    put_words(&mut image, 0x20, &[magic, flags, checksum]);
    put_words(&mut image, 0x2c, &rest);
    image
}

/// The same for Multiboot 2, with an address tag, an entry tag and one for the screen.
#[must_use]
pub fn multiboot2() -> Vec<u8> {
    let mut image = vec![0x90; 0xa0];
    let len_bytes = 16 + 24 + 16 + 24 + 24 + 8;
    let magic = 0xe852_50d6u32;
    let checksum = 0u32.wrapping_sub(magic.wrapping_add(len_bytes));
    let at = AT as u32;
    put_words(&mut image, 0x20, &[magic, 0, len_bytes, checksum]);
    put_words(&mut image, 0x30, &[2, 24, at + 0x20, at, 0, at + 0x800]);
    put_words(&mut image, 0x48, &[3, 12, ENTRY, 0]);
    put_words(&mut image, 0x58, &[5, 20, 80, 25, 0, 0]);
    put_words(&mut image, 0x70, &[1, 20, 1, 3, 15, 0]);
    put_words(&mut image, 0x88, &[0, 8]);
    image
}

/// The ELF32 with a Multiboot 1 header in its segment.
#[must_use]
pub fn multiboot1_elf() -> Vec<u8> {
    let mut image = elf32();
    let magic = 0x1bad_b002u32;
    put_words(&mut image, 0xf0, &[magic, 0, 0u32.wrapping_sub(magic)]);
    image
}

/// The 64-bit bzImage of the other tests, with nothing but a 32-bit entry.
#[must_use]
pub fn bzimage_32() -> Vec<u8> {
    let mut image = bzimage();
    put(&mut image, 0x214, &0x10_0000u32.to_le_bytes());
    put(&mut image, 0x234, &[1]);
    put(&mut image, 0x236, &[0]);
    image
}
