//! The TSC never runs backwards, whatever exits lie between two readings.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::apic::{self, TimerMode};
use test_guests::cpu::{cpuid, rdmsr, rdtsc};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, guest, mmio, port, that};

guest!(test);

const VECTOR: u8 = 0x45;
const TSC: u32 = 0x10;

fn rdtscp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: offered by CPUID.
    unsafe { asm!("rdtscp", out("eax") low, out("edx") high, out("ecx") _) };
    u64::from(high) << 32 | u64::from(low)
}

fn test() -> Outcome {
    let has_rdtscp = cpuid(0x8000_0001, 0).edx & (1 << 27) != 0;
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::OneShot, VECTOR);
    let mut last = rdtsc();
    for round in 0..10_000u32 {
        match round % 6 {
            0 => test_guests::discard(cpuid(0, 0)),
            1 => test_guests::discard(port::in8(0x1234)),
            2 => test_guests::discard(mmio::read32(0xfec0_0000)),
            3 => test_guests::discard(rdmsr(0x1b)),
            4 => port::out8(0x1234, 0),
            _ => cpu::pause(),
        }
        if round.is_multiple_of(500) {
            apic::set_initial_count(50_000);
            cpu::sti_hlt_cli();
        }
        let now = match round % 3 {
            0 if has_rdtscp => rdtscp(),
            1 => rdmsr(TSC),
            _ => rdtsc(),
        };
        that("the TSC ran backwards", now > last)?;
        last = now;
    }
    Ok(())
}
