//! HLT is ended by the local APIC's timer, once for every count.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, TimerMode, register};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, equal, guest, that};

guest!(test);

const VECTOR: u8 = 0x41;
/// About a millisecond of any bus there is.
const COUNT: u32 = 100_000;

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::OneShot, VECTOR);
    apic::set_initial_count(COUNT);
    that(
        "it does not count down",
        cpu::poll(|| apic::read(register::CURRENT_COUNT) < COUNT),
    )?;
    cpu::sti();
    that(
        "it does not interrupt",
        cpu::poll(|| trap::count(VECTOR) == 1),
    )?;
    cpu::cli();
    equal(
        "count after it fired",
        apic::read(register::CURRENT_COUNT).into(),
        0,
    )?;
    for round in 2..=6 {
        apic::set_initial_count(COUNT);
        cpu::sti_hlt_cli();
        equal("interrupts after a HLT", trap::count(VECTOR).into(), round)?;
    }
    // Stopped before it fires.
    apic::set_initial_count(u32::MAX);
    apic::set_initial_count(0);
    equal(
        "count of a stopped timer",
        apic::read(register::CURRENT_COUNT).into(),
        0,
    )
}
