//! A Multiboot 1 kernel that is no ELF file to its loader (its header tells the addresses) is entered in protected mode, and
//! is told of memory, command line, module, loader and screen.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::{holds, registers};
use test_guests::{Outcome, equal, guest, mmio, that};

// Flags: page-aligned modules, memory information, video mode, and the address fields.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"a\"",
    ".balign 8",
    "multiboot_header:",
    ".long 0x1badb002",
    ".long 0x10007",
    ".long -(0x1badb002 + 0x10007)",
    ".long multiboot_header, multiboot_header, __load_end, __bss_end, start_32",
    // Mode, width, height, depth: EGA text of 80 by 25.
    ".long 1, 80, 25, 0",
    ".popsection",
);

guest!(test);

const INFO_FLAGS: u32 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9 | 1 << 12;
const USABLE: u32 = 1;

fn test() -> Outcome {
    let start = registers();
    equal("EAX", start.eax.into(), 0x2bad_b002)?;
    equal("CR0.PE and PG", (start.cr0 & 0x8000_0001).into(), 1)?;
    let info = u64::from(start.ebx);
    let word = |at: u64| u64::from(mmio::read32(info + at));
    let flags = word(0);
    equal("flags", flags, INFO_FLAGS.into())?;
    equal("mem_lower", word(4), 639)?;
    equal("mem_upper", word(8), 15 * 1024)?;
    that("command line", holds(word(16), b"first=1 second\0"))?;
    equal("mods_count", word(20), 1)?;
    let module = word(24);
    let at = u64::from(mmio::read32(module));
    let end = u64::from(mmio::read32(module + 4));
    equal("module's page", at & 0xfff, 0)?;
    that("module's size", end > at + 0x1000)?;
    that("module's bytes", holds(at, b"\x7fELF"))?;
    that(
        "module's name",
        holds(mmio::read32(module + 8).into(), b"initrd\0"),
    )?;
    that("loader's name", holds(word(64), b"Caisson\0"))?;
    equal(
        "usable memory",
        usable_bytes(word(48), word(44)),
        (15 << 20) + 0x9_fc00,
    )?;
    equal("framebuffer_addr", mmio::read64(info + 88), 0xb_8000)?;
    equal("framebuffer_pitch", word(96), 160)?;
    equal("framebuffer_type", mmio::read8(info + 109).into(), 2)
}

fn usable_bytes(map: u64, len_bytes: u64) -> u64 {
    let mut at = map;
    let mut usable = 0;
    while at < map + len_bytes {
        if mmio::read32(at + 20) == USABLE {
            usable += mmio::read64(at + 12);
        }
        at += u64::from(mmio::read32(at)) + 4;
    }
    usable
}
