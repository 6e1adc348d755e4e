//! A Multiboot 2 kernel, loaded by its ELF segments and entered where a tag says, is told of everything in tags.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::{holds, registers, sum};
use test_guests::{Fail, Outcome, equal, guest, mmio, that};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"a\"",
    ".balign 8",
    "header_start:",
    ".long 0xe85250d6, 0, header_end - header_start, -(0xe85250d6 + header_end - header_start)",
    // Information request, required: command line, module, memory map, root pointer.
    ".short 1, 0",
    ".long 24, 1, 3, 6, 15",
    // Entry address.
    ".balign 8",
    ".short 3, 0",
    ".long 12, start_32",
    // Framebuffer, optional: 80 by 25 of text.
    ".balign 8",
    ".short 5, 1",
    ".long 20, 80, 25, 0",
    // A tag that nobody knows, optional.
    ".balign 8",
    ".short 999, 1",
    ".long 8",
    ".balign 8",
    ".short 0, 0",
    ".long 8",
    "header_end:",
    ".popsection",
);

guest!(test);

const CMDLINE: u32 = 1;
const LOADER_NAME: u32 = 2;
const MODULE: u32 = 3;
const MEMORY: u32 = 4;
const MEMORY_MAP: u32 = 6;
const FRAMEBUFFER: u32 = 8;
const NEW_ACPI: u32 = 15;
const USABLE: u32 = 1;

fn test() -> Outcome {
    let start = registers();
    equal("EAX", start.eax.into(), 0x36d7_6289)?;
    equal("CR0.PE and PG", (start.cr0 & 0x8000_0001).into(), 1)?;
    let info = u64::from(start.ebx);
    equal("information's alignment", info & 7, 0)?;
    that(
        "command line",
        holds(find(info, CMDLINE)? + 8, b"first=1 second\0"),
    )?;
    that(
        "loader's name",
        holds(find(info, LOADER_NAME)? + 8, b"Caisson\0"),
    )?;
    let module = find(info, MODULE)?;
    let at = u64::from(mmio::read32(module + 8));
    equal("module's page", at & 0xfff, 0)?;
    that("module's bytes", holds(at, b"\x7fELF"))?;
    that("module's name", holds(module + 16, b"initrd\0"))?;
    let memory = find(info, MEMORY)?;
    equal("mem_lower", mmio::read32(memory + 8).into(), 639)?;
    equal("mem_upper", mmio::read32(memory + 12).into(), 15 * 1024)?;
    equal(
        "usable memory",
        usable_bytes(find(info, MEMORY_MAP)?),
        (15 << 20) + 0x9_fc00,
    )?;
    let screen = find(info, FRAMEBUFFER)?;
    equal("framebuffer_addr", mmio::read64(screen + 8), 0xb_8000)?;
    equal("framebuffer_type", mmio::read8(screen + 29).into(), 2)?;
    let pointer = find(info, NEW_ACPI)? + 8;
    that("root pointer's signature", holds(pointer, b"RSD PTR "))?;
    equal("root pointer's checksum", sum(pointer, 20).into(), 0)?;
    equal("root pointer's second checksum", sum(pointer, 36).into(), 0)
}

/// The tag of this kind.
fn find(info: u64, wanted: u32) -> Result<u64, Fail> {
    let end = info + u64::from(mmio::read32(info));
    let mut at = info + 8;
    while at + 8 <= end {
        let kind = mmio::read32(at);
        if kind == wanted {
            return Ok(at);
        }
        if kind == 0 {
            equal("end of the last tag", at + 8, end)?;
            break;
        }
        at = (at + u64::from(mmio::read32(at + 4))).next_multiple_of(8);
    }
    Err(Fail::with("tag missing", 0, wanted.into()))
}

fn usable_bytes(tag: u64) -> u64 {
    let end = tag + u64::from(mmio::read32(tag + 4));
    let entry_bytes = u64::from(mmio::read32(tag + 8)).max(8);
    let mut at = tag + 16;
    let mut usable = 0;
    while at < end {
        if mmio::read32(at + 16) == USABLE {
            usable += mmio::read64(at + 8);
        }
        at += entry_bytes;
    }
    usable
}
