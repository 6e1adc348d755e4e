//! What an exit costs, in TSC ticks: where the TSC counts instructions, in instructions of the hypervisor.
#![cfg_attr(target_os = "none", no_std, no_main)]

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

/// Sets the timer, halts, takes the interrupt and ends it. The time slept counts where the clock runs on in HLT; with a
/// clock that counts instructions and skips sleep only the wait until the deadline is left in, and that is short.
fn hlt_wake() -> u64 {
    const NEAR: u64 = 20_000;
    if apic::has_tsc_deadline() {
        apic::set_timer(TimerMode::TscDeadline, VECTOR);
        let slept = cost(HLT_ROUNDS, || {
            apic::set_deadline(rdtsc() + NEAR);
            cpu::sti_hlt_cli();
        });
        slept.saturating_sub(NEAR)
    } else {
        apic::set_timer(TimerMode::OneShot, VECTOR);
        cost(HLT_ROUNDS, || {
            apic::set_initial_count(NEAR as u32);
            cpu::sti_hlt_cli();
        })
    }
}
