//! Device memory by many instructions and every width: HPET comparator, local APIC, IOAPIC, and memory that is not there.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::{Outcome, equal, guest, mmio};

guest!(test);

/// Comparator of HPET timer 0: 64 bits that hold what is written.
const WIDE: u64 = 0xfed0_0108;
/// Interrupt command register, high half: 32 bits, of which the top eight hold what is written.
const NARROW: u64 = 0xfee0_0310;
const NARROW_MASK: u64 = 0xff00_0000;
/// Nothing, between the IOAPIC and the HPET.
const NOTHING: u64 = 0xfec8_0000;

/// Runs one instruction with RDI the address and RAX a value both ways; counts that it was done once.
macro_rules! one {
    ($at:expr, $rax:expr, $code:literal) => {{
        let (mut rax, mut rcx, mut done): (u64, u64, u64) = ($rax, 0x55, 0);
        // SAFETY: RDI names a device register or nothing; RAX and RCX are scratch; flags may change.
        unsafe {
            asm!($code, "inc r8", inout("rax") rax, inout("rcx") rcx, inout("r8") done, in("rdi") $at);
        }
        equal(concat!($code, ": done times"), done, 1)?;
        let _ = rcx;
        rax
    }};
}

fn test() -> Outcome {
    wide()?;
    narrow()?;
    read_modify_write()?;
    strings()?;
    nothing()
}

fn wide() -> Outcome {
    // The comparator takes 64-bit values while the counter stands.
    mmio::write64(0xfed0_0010, 0);
    one!(WIDE, 0x1122_3344_5566_7788u64, "mov [rdi], rax");
    equal(
        "64-bit read",
        one!(WIDE, 0, "mov rax, [rdi]"),
        0x1122_3344_5566_7788,
    )?;
    equal(
        "32-bit read clears the upper half",
        one!(WIDE, u64::MAX, "mov eax, [rdi]"),
        0x5566_7788,
    )?;
    equal(
        "32-bit read of the upper half",
        one!(WIDE, 0, "mov eax, [rdi + 4]"),
        0x1122_3344,
    )?;
    one!(WIDE, 0xaabb_ccdd, "mov [rdi + 4], eax");
    equal(
        "32-bit write of the upper half",
        mmio::read64(WIDE),
        0xaabb_ccdd_5566_7788,
    )?;
    one!(WIDE, 0, "mov qword ptr [rdi], -2");
    equal("MOV m64, imm32", mmio::read64(WIDE), u64::MAX - 1)?;
    equal(
        "by SIB and displacement",
        one!(WIDE, 0x10, "mov rax, [rdi + rax*8 - 128]"),
        u64::MAX - 1,
    )
}

fn narrow() -> Outcome {
    one!(NARROW, 0x1200_0000, "mov [rdi], eax");
    equal(
        "32-bit read",
        one!(NARROW, 0, "mov eax, [rdi]"),
        0x1200_0000,
    )?;
    one!(NARROW, 0, "mov dword ptr [rdi], 0x34000000");
    equal(
        "MOV m32, imm32",
        one!(NARROW, 0, "mov eax, [rdi]"),
        0x3400_0000,
    )?;
    one!(NARROW, 0x5600_0000, "movabs [0xfee00310], eax");
    equal(
        "MOV EAX, moffs",
        one!(NARROW, 0, "movabs eax, [0xfee00310]"),
        0x5600_0000,
    )?;
    equal(
        "MOVSXD",
        one!(NARROW, 0, "movsxd rax, dword ptr [rdi]"),
        0x5600_0000,
    )?;
    one!(NARROW, 0x8700_0000, "mov [rdi], eax");
    equal(
        "MOVSXD of a negative",
        one!(NARROW, 0, "movsxd rax, dword ptr [rdi]"),
        0xffff_ffff_8700_0000,
    )?;
    let mut r15: u64 = 0x4300_0000;
    // SAFETY: as above.
    unsafe {
        asm!("mov [rdi], r15d", "mov r15d, 0", "mov r15d, [rdi]", inout("r15") r15, in("rdi") NARROW)
    };
    equal("R15D", r15 & NARROW_MASK, 0x4300_0000)
}

fn read_modify_write() -> Outcome {
    mmio::write32(NARROW, 0x0f00_0000);
    one!(NARROW, 0xf000_0000u64, "or [rdi], eax");
    equal("OR", mmio::read32(NARROW).into(), 0xff00_0000)?;
    one!(NARROW, 0x3c00_0000u64, "and [rdi], eax");
    equal("AND", mmio::read32(NARROW).into(), 0x3c00_0000)?;
    one!(NARROW, 0xff00_0000u64, "xor [rdi], eax");
    equal("XOR", mmio::read32(NARROW).into(), 0xc300_0000)?;
    equal(
        "XCHG's register",
        one!(NARROW, 0x1100_0000, "xchg [rdi], eax") & NARROW_MASK,
        0xc300_0000,
    )?;
    equal("XCHG's memory", mmio::read32(NARROW).into(), 0x1100_0000)?;
    equal(
        "TEST, zero",
        one!(
            NARROW,
            0x2200_0000,
            "test [rdi], eax; sete al; movzx eax, al"
        ),
        1,
    )?;
    equal(
        "TEST, not zero",
        one!(
            NARROW,
            0x1000_0000,
            "test [rdi], eax; sete al; movzx eax, al"
        ),
        0,
    )?;
    equal(
        "CMP, equal",
        one!(
            NARROW,
            0x1100_0000,
            "cmp [rdi], eax; sete al; movzx eax, al"
        ),
        1,
    )?;
    equal(
        "ADD from memory",
        one!(NARROW, 1, "add eax, [rdi]"),
        0x1100_0001,
    )
}

fn strings() -> Outcome {
    mmio::write32(NARROW, 0);
    // SAFETY: one dword goes to the register, then one from there to a local.
    unsafe {
        asm!("stosd", inout("rdi") NARROW => _, in("rax") 0x7700_0000u64);
    }
    equal("STOSD", mmio::read32(NARROW).into(), 0x7700_0000)?;
    let mut copy = 0u32;
    // SAFETY: as above.
    unsafe {
        asm!("movsd", inout("rsi") NARROW => _, inout("rdi") &raw mut copy => _);
    }
    equal("MOVSD", copy.into(), 0x7700_0000)?;
    let loaded: u64;
    // SAFETY: as above.
    unsafe { asm!("lodsd", inout("rsi") NARROW => _, out("rax") loaded) };
    equal("LODSD", loaded & 0xffff_ffff, 0x7700_0000)
}

fn nothing() -> Outcome {
    equal("8 bits of nothing", one!(NOTHING, 0, "mov al, [rdi]"), 0xff)?;
    equal(
        "16 bits of nothing",
        one!(NOTHING, 0, "mov ax, [rdi]"),
        0xffff,
    )?;
    equal(
        "32 bits of nothing",
        one!(NOTHING, 0, "mov eax, [rdi]"),
        0xffff_ffff,
    )?;
    equal(
        "64 bits of nothing",
        one!(NOTHING, 0, "mov rax, [rdi]"),
        u64::MAX,
    )?;
    equal(
        "8 bits into AH",
        one!(NOTHING, 0, "mov ah, byte ptr [rdi]"),
        0xff00,
    )?;
    equal(
        "MOVZX of 8 bits",
        one!(NOTHING, 0, "movzx eax, byte ptr [rdi]"),
        0xff,
    )?;
    equal(
        "MOVZX of 16 bits",
        one!(NOTHING, 0, "movzx rax, word ptr [rdi]"),
        0xffff,
    )?;
    equal(
        "MOVSX of 8 bits",
        one!(NOTHING, 0, "movsx eax, byte ptr [rdi]"),
        0xffff_ffff,
    )?;
    equal(
        "MOVSX of 16 bits",
        one!(NOTHING, 0, "movsx rax, word ptr [rdi]"),
        u64::MAX,
    )?;
    one!(NOTHING, 1, "mov [rdi], al");
    one!(NOTHING, 1, "mov [rdi], ah");
    one!(NOTHING, 1, "mov [rdi], ax");
    one!(NOTHING, 1, "mov [rdi], rax");
    one!(NOTHING, 1, "mov byte ptr [rdi], 7");
    one!(NOTHING, 1, "mov word ptr [rdi], 7");
    equal(
        "nothing remembers",
        one!(NOTHING, 0, "mov rax, [rdi]"),
        u64::MAX,
    )
}
