//! A pending interrupt waits for IF, for the instruction behind STI and MOV SS, and for the priority to fall.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, that};

guest!(test);

const VECTOR: u8 = 0x60;
const LOWER: u8 = 0x35;

/// Interrupts must have come by the end of `$code`, and not at the label 2, the instruction in the shadow.
macro_rules! shadow {
    ($what:literal, $($code:literal),+) => {{
        let before = trap::count(VECTOR);
        apic::send_self(VECTOR);
        let shadowed: u64;
        // SAFETY: RAX to RDX are named; the handler keeps all registers.
        unsafe {
            asm!("lea {shadowed}, [rip + 2f]", "mov r9d, ss", $($code),+,
                shadowed = out(reg) shadowed, out("r9") _,
                out("rax") _, out("rcx") _, out("rdx") _, inout("r8") 0u64 => _);
        }
        that(concat!($what, ": the interrupt does not come"), cpu::poll(|| trap::count(VECTOR) != before))?;
        cpu::cli();
        equal(concat!($what, ": interrupts"), (trap::count(VECTOR) - before).into(), 1)?;
        that(concat!($what, ": interrupted in the shadow"), trap::interrupted_rip() != shadowed)?;
    }};
}

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    closed()?;
    shadow!("STI", "sti", "2:", "nop", "nop", "nop");
    shadow!(
        "STI, IN",
        "mov edx, 0x1234",
        "sti",
        "2:",
        "in al, dx",
        "nop",
        "nop"
    );
    shadow!(
        "STI, OUT",
        "mov edx, 0x1234",
        "sti",
        "2:",
        "out dx, al",
        "nop",
        "nop"
    );
    shadow!(
        "STI, RDMSR",
        "mov ecx, 0x10",
        "sti",
        "2:",
        "rdmsr",
        "nop",
        "nop"
    );
    shadow!("STI, HLT", "sti", "2:", "hlt", "nop");
    shadow!("STI, MOV SS", "sti", "2:", "mov ss, r9d", "nop", "nop");
    shadow!(
        "POPFQ",
        "2:",
        "pushfq",
        "or dword ptr [rsp], 0x200",
        "popfq",
        "nop",
        "nop"
    );
    priorities()
}

/// Nothing comes while IF is clear, whatever exits there are.
fn closed() -> Outcome {
    let before = trap::count(VECTOR);
    apic::send_self(VECTOR);
    for _ in 0..100 {
        let _ = cpu::cpuid(0, 0);
    }
    equal(
        "interrupts with IF clear",
        (trap::count(VECTOR) - before).into(),
        0,
    )?;
    that(
        "the request is not shown in IRR",
        apic::bit(apic::register::IRR, VECTOR),
    )?;
    cpu::sti();
    let has_come = cpu::poll(|| trap::count(VECTOR) != before);
    cpu::cli();
    that("the interrupt does not come when IF is set", has_come)
}

fn priorities() -> Outcome {
    let (before, lower) = (trap::count(VECTOR), trap::count(LOWER));
    // Class 4 holds back vector 0x35 and lets 0x60 through.
    cpu::write_cr8(4);
    equal("TPR by CR8", apic::read(apic::register::TPR).into(), 0x40)?;
    apic::send_self(LOWER);
    apic::send_self(VECTOR);
    cpu::sti();
    let has_come = cpu::poll(|| trap::count(VECTOR) != before);
    for _ in 0..100 {
        let _ = cpu::cpuid(0, 0);
    }
    let held = trap::count(LOWER) == lower;
    apic::write(apic::register::TPR, 0);
    let came = cpu::poll(|| trap::count(LOWER) != lower);
    cpu::cli();
    that("the higher vector does not come", has_come)?;
    that("the lower vector came under CR8", held)?;
    that("the lower vector does not come after TPR 0", came)?;
    equal("CR8 after a write to TPR", cpu::read_cr8(), 0)
}
