//! A Multiboot 1 kernel that is an ELF file, with several modules, each with a text of its own.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::{holds, registers};
use test_guests::{Outcome, equal, guest, mmio, that};

// Flags: page-aligned modules and memory information; no addresses, so the ELF file's own.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"ax\"",
    ".balign 4",
    ".long 0x1badb002, 3, -(0x1badb002 + 3)",
    ".popsection",
);

guest!(test);

const MODULES: [&[u8]; 3] = [b"initrd\0", b"second one=1\0", b"\0"];

fn test() -> Outcome {
    let start = registers();
    equal("EAX", start.eax.into(), 0x2bad_b002)?;
    let info = u64::from(start.ebx);
    equal("mods_count", mmio::read32(info + 20).into(), 3)?;
    let list = u64::from(mmio::read32(info + 24));
    let mut free = 0x20_0000;
    for (number, text) in (0..).zip(MODULES) {
        let word = |at: u64| u64::from(mmio::read32(list + 16 * number + at));
        let (at, end) = (word(0), word(4));
        that("modules do not overlap", at >= free && end > at)?;
        equal("module's page", at & 0xfff, 0)?;
        that("module's bytes", holds(at, b"\x7fELF"))?;
        that("module's text", holds(word(8), text))?;
        free = end;
    }
    Ok(())
}
