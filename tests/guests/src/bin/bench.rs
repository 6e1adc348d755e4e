//! What an exit costs, in TSC ticks: where the TSC counts instructions, in instructions of the hypervisor.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "marks for the counter outside")]

use core::arch::asm;
use test_guests::apic::{self, TimerMode};
use test_guests::cpu::{cpuid, rdtsc, wrmsr};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, guest, mmio, port, println, serial, that};

guest!(test);

const ROUNDS: u64 = 1000;
const HLT_ROUNDS: u64 = 100;
const VECTOR: u8 = 0x46;
const TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_EOI: u32 = 0x80b;
const IO_APIC_WINDOW: u64 = 0xfec0_0010;

/// Average ticks of one call, without what an empty loop takes.
fn cost(rounds: u64, mut operation: impl FnMut()) -> u64 {
    // The first calls are made for caches, and for what is set up once.
    for _ in 0..10 {
        operation();
    }
    let total = time(rounds, operation);
    let empty = time(rounds, || core::hint::black_box(()));
    total.saturating_sub(empty) / rounds
}

fn time(rounds: u64, mut operation: impl FnMut()) -> u64 {
    let start = rdtsc();
    for _ in 0..rounds {
        operation();
    }
    rdtsc().wrapping_sub(start)
}

fn test() -> Outcome {
    let cpuid_cost = cost(ROUNDS, || {
        test_guests::discard(core::hint::black_box(cpuid(0, 0)))
    });
    let pio_out = cost(ROUNDS, || port::out8(0x1234, 0));
    let uart_in = cost(ROUNDS, || test_guests::discard(port::in8(serial::LSR)));
    let ioapic_read = cost(ROUNDS, || {
        test_guests::discard(mmio::read32(IO_APIC_WINDOW))
    });

    // Timers by MSR where they are offered.
    if apic::has_x2apic() {
        apic::enter_x2apic();
    }
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    let msr_write = if apic::has_x2apic() {
        cost(ROUNDS, || wrmsr(X2APIC_EOI, 0))
    } else {
        cost(ROUNDS, || wrmsr(TSC_DEADLINE, 0))
    };
    let before = trap::count(VECTOR);
    let hlt_wake = hlt_wake();
    that(
        "a HLT was not woken by its timer",
        u64::from(trap::count(VECTOR) - before) >= HLT_ROUNDS,
    )?;
    println!(
        "bench cpuid={cpuid_cost} pio_out={pio_out} uart_in={uart_in} ioapic_read={ioapic_read} \
         msr_write={msr_write} hlt_wake={hlt_wake}"
    );
    Ok(())
}

/// Sets the timer, halts, takes the interrupt and ends it; the time slept is left out as far as it is known.
///
/// A clock that counts instructions leaps over sleep, so this is what is done from the deadline on. The NOPs around the
/// rounds are marks for whoever counts from outside.
fn hlt_wake() -> u64 {
    const NEAR: u64 = 20_000;
    if apic::has_tsc_deadline() {
        apic::set_timer(TimerMode::TscDeadline, VECTOR);
    } else {
        apic::set_timer(TimerMode::OneShot, VECTOR);
    }
    let round = || {
        if apic::has_tsc_deadline() {
            apic::set_deadline(rdtsc() + NEAR);
        } else {
            apic::set_initial_count(NEAR as u32);
        }
        cpu::sti_hlt_cli();
    };
    for _ in 0..10 {
        round();
    }
    // SAFETY: a NOP.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long 0xca150001") };
    let total = time(HLT_ROUNDS, round);
    // SAFETY: a NOP.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long 0xca150002") };
    (total / HLT_ROUNDS).saturating_sub(NEAR)
}
