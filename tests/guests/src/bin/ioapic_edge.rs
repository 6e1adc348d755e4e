//! The IOAPIC delivers edges: the PIT at pin 2, one interrupt a tick, none while masked.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::ioapic::{self, Trigger};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, pit, that};

guest!(test);

const VECTOR: u8 = 0x50;
const PIN: u8 = 2;

fn test() -> Outcome {
    equal(
        "pins",
        u64::from(ioapic::read(ioapic::VERSION) >> 16 & 0xff),
        23,
    )?;
    for pin in 0..24 {
        that(
            "a pin is not masked at start",
            ioapic::entry(pin) & (1 << 16) != 0,
        )?;
    }
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    ioapic::route(PIN, VECTOR, Trigger::Edge);
    pit::periodic(200);
    cpu::sti();
    that(
        "the PIT does not interrupt",
        cpu::poll(|| trap::count(VECTOR) > 0),
    )?;
    cpu::cli();
    let before = trap::count(VECTOR);
    while trap::count(VECTOR) < before + 5 {
        cpu::sti_hlt_cli();
    }
    ioapic::mask(PIN);
    cpu::let_in();
    let masked = trap::count(VECTOR);
    cpu::sti();
    for _ in 0..1_000_000 {
        cpu::pause();
    }
    cpu::cli();
    equal(
        "a masked pin interrupts",
        (trap::count(VECTOR) - masked).into(),
        0,
    )?;
    pit::stop();
    Ok(())
}
