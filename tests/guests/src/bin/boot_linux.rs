//! A kernel of Linux' format, entered by the door that its command line names: 16, 32 or 64 bits.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::{holds, registers};
use test_guests::{Fail, Outcome, bios_calls, equal, guest, mmio, that};

// Boot sector with the setup header, and three sectors of setup code. (Linux/x86 boot protocol)
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .setup, \"awx\"",
    ".org 0x1f1",
    ".byte 3",
    ".org 0x1fe",
    ".short 0xaa55",
    "r16_base:",
    ".byte 0xeb, 0x66",
    ".ascii \"HdrS\"",
    ".short 0x020f",
    // loadflags: LOADED_HIGH; code32_start.
    ".org 0x211",
    ".byte 1",
    ".org 0x214",
    ".long 0x100000",
    // initrd_addr_max, kernel_alignment, min_alignment, xloadflags with the 64-bit entry, cmdline_size.
    ".org 0x22c",
    ".long 0x7fffffff, 0x1000",
    ".byte 0, 12",
    ".short 1",
    ".long 255",
    // pref_address, init_size.
    ".org 0x258",
    ".quad 0x100000",
    ".long 0x100000",
    ".org 0x268",
    test_guests::bios_calls_code!(),
    ".org 0x800",
    ".popsection",
    options(att_syntax),
);

// From 1 MiB on: the 32-bit entry, and the 64-bit one at 0x200.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"awx\"",
    ".code32",
    "mov eax, 32",
    "mov ebx, esi",
    "jmp start_32",
    ".code64",
    ".org 0x200",
    "mov dword ptr [rip + ENTRY_REGISTERS], 64",
    "mov dword ptr [rip + ENTRY_REGISTERS + 4], esi",
    "mov rax, cr0",
    "mov dword ptr [rip + ENTRY_REGISTERS + 8], eax",
    "jmp _start",
    ".popsection",
);

guest!(test);

const MEMORY_BYTES: u64 = 16 << 20;
/// The segment of the setup code.
const SETUP: u64 = 0x1_0000;
const RSDP: u64 = 0x70;
const TYPE_OF_LOADER: u64 = 0x210;
const RAMDISK_IMAGE: u64 = 0x218;
const RAMDISK_SIZE: u64 = 0x21c;
const CMD_LINE_PTR: u64 = 0x228;

fn test() -> Outcome {
    let start = registers();
    // The same header lies in the zero page and in the setup segment.
    let header = if start.eax == bios_calls::MARK {
        SETUP
    } else {
        start.ebx.into()
    };
    let field = |at: u64| u64::from(mmio::read32(header + at));
    that("HdrS", holds(header + 0x202, b"HdrS"))?;
    let loader = mmio::read8(header + TYPE_OF_LOADER);
    equal("type_of_loader", loader.into(), 0xff)?;
    let initrd = field(RAMDISK_IMAGE);
    that("initial RAM disk", holds(initrd, b"\x7fELF"))?;
    that("its size", field(RAMDISK_SIZE) > 0x1000)?;
    let cmdline = field(CMD_LINE_PTR);
    let ways: [(&[u8], u32); 3] = [(b"way=16\0", 16), (b"way=32\0", 32), (b"way=64\0", 64)];
    let named = ways.iter().find(|(text, _)| holds(cmdline, text));
    let (_, way) = named.ok_or(Fail::new("command line"))?;
    equal("way in", start.eax.into(), (*way).into())?;
    if *way == bios_calls::MARK {
        let [cs, ds, ss, sp, es, _] = bios_calls::entered()?.registers;
        equal("CS", cs.into(), 0x1020)?;
        for segment in [ds, ss, es] {
            equal("DS, SS, ES", segment.into(), 0x1000)?;
        }
        equal("SP", sp.into(), 0xe000)?;
        bios_calls::check_bios(MEMORY_BYTES)
    } else {
        that(
            "root pointer",
            holds(mmio::read64(header + RSDP), b"RSD PTR "),
        )
    }
}
