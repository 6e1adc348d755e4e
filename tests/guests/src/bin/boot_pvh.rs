//! An ELF file with Xen's note of a 32-bit entry is entered there, and not by its 64-bit entry, with `hvm_start_info`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::{holds, registers};
use test_guests::{Outcome, equal, guest, mmio, that};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long start_32",
    ".popsection",
);

guest!(test);

const USABLE: u32 = 1;

fn test() -> Outcome {
    let start = registers();
    equal("CR0.PE and PG", (start.cr0 & 0x8000_0001).into(), 1)?;
    let info = u64::from(start.ebx);
    that("EBX", info != 0)?;
    equal("magic", mmio::read32(info).into(), 0x336e_c578)?;
    equal("version", mmio::read32(info + 4).into(), 1)?;
    equal("nr_modules", mmio::read32(info + 12).into(), 1)?;
    let module = mmio::read64(info + 16);
    that("module's bytes", holds(mmio::read64(module), b"\x7fELF"))?;
    that("module's size", mmio::read64(module + 8) > 0x1000)?;
    that(
        "command line",
        holds(mmio::read64(info + 24), b"first=1 second\0"),
    )?;
    that("root pointer", holds(mmio::read64(info + 32), b"RSD PTR "))?;
    let map = mmio::read64(info + 40);
    let count = u64::from(mmio::read32(info + 48));
    let usable = (0..count)
        .map(|number| map + number * 24)
        .filter(|at| mmio::read32(at + 16) == USABLE)
        .map(|at| mmio::read64(at + 8))
        .sum();
    equal("usable memory", usable, (15 << 20) + 0x9_fc00)
}
