//! HLT is ended by the TSC deadline, not before its time.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, TimerMode};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, equal, guest, println, that};

guest!(test);

const VECTOR: u8 = 0x43;
const TICKS: u64 = 2_000_000;

fn test() -> Outcome {
    if !apic::has_tsc_deadline() {
        println!("note hlt_tsc_deadline: not offered");
        return Ok(());
    }
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::TscDeadline, VECTOR);
    for round in 1..=5 {
        let deadline = cpu::rdtsc() + TICKS;
        apic::set_deadline(deadline);
        cpu::sti_hlt_cli();
        that("woken before the deadline", cpu::rdtsc() >= deadline)?;
        equal("interrupts after a HLT", trap::count(VECTOR).into(), round)?;
        equal("a deadline that passed reads", apic::deadline(), 0)?;
    }
    // One that has passed already fires at once.
    apic::set_deadline(cpu::rdtsc() - 1);
    cpu::sti();
    that(
        "a deadline in the past does not fire",
        cpu::poll(|| trap::count(VECTOR) == 6),
    )?;
    cpu::cli();
    // Far away: this VM may have to wait for its turn.
    apic::set_deadline(cpu::rdtsc() + (1 << 45));
    that("an armed deadline reads 0", apic::deadline() != 0)?;
    let deadline = cpu::rdtsc() + 20 * TICKS;
    apic::set_deadline(deadline);
    apic::set_deadline(0);
    if cpu::rdtsc() >= deadline {
        // Others had the CPU meanwhile: it may have fired rightly.
        return Ok(());
    }
    cpu::sti();
    while cpu::rdtsc() < deadline + TICKS {}
    cpu::cli();
    equal("a disarmed deadline fires", trap::count(VECTOR).into(), 6)
}
