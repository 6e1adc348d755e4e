//! HLT is ended by the local APIC's timer again and again.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, TimerMode};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, equal, guest, that};

guest!(test);

const VECTOR: u8 = 0x42;
const COUNT: u32 = 200_000;

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::Periodic, VECTOR);
    apic::set_initial_count(COUNT);
    cpu::sti();
    that(
        "it does not interrupt twice",
        cpu::poll(|| trap::count(VECTOR) >= 2),
    )?;
    cpu::cli();
    let before = trap::count(VECTOR);
    while trap::count(VECTOR) < before + 10 {
        cpu::sti_hlt_cli();
    }
    apic::set_initial_count(0);
    cpu::let_in();
    let stopped = trap::count(VECTOR);
    cpu::sti();
    for _ in 0..100_000 {
        cpu::pause();
    }
    cpu::cli();
    equal(
        "a stopped timer interrupts",
        (trap::count(VECTOR) - stopped).into(),
        0,
    )
}
