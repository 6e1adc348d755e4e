//! The local APIC by its page: registers, interrupts to itself, an NMI, and MSRs of x2APIC mode refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, register};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, catch, cpu, equal, guest, that};

guest!(test);

const VECTOR: u8 = 0x70;
const NMI: u8 = 2;

fn test() -> Outcome {
    equal("ID", u64::from(apic::read(register::ID) >> 24), 0)?;
    let version = apic::read(register::VERSION);
    that(
        "version is not that of an integrated APIC",
        (0x10..=0x15).contains(&(version & 0xff)),
    )?;
    that("fewer than four LVT entries", version >> 16 & 0xff >= 3)?;
    // Firmware may have switched it on.
    equal(
        "SVR at start",
        u64::from(apic::read(register::SVR) & !0x100),
        0xff,
    )?;
    equal(
        "LVT timer at start",
        apic::read(register::LVT_TIMER).into(),
        1 << 16,
    )?;
    let trap = catch(|| test_guests::discard(cpu::rdmsr(0x802)));
    that(
        "x2APIC's MSRs answer in xAPIC mode",
        trap.is_some_and(|t| t.vector == 13),
    )?;

    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::write(register::TPR, 0x50);
    equal("TPR", apic::read(register::TPR).into(), 0x50)?;
    equal("PPR follows TPR", apic::read(register::PPR).into(), 0x50)?;
    equal("CR8 follows TPR", cpu::read_cr8(), 5)?;
    apic::write(register::TPR, 0);

    cpu::sti();
    for round in 1..=10 {
        apic::send_self(VECTOR);
        that(
            "an interrupt to itself does not come",
            cpu::poll(|| trap::count(VECTOR) == round),
        )?;
    }
    cpu::cli();
    that("still in service", !apic::bit(register::ISR, VECTOR))?;

    apic::send_nmi_to_self();
    that(
        "an NMI to itself does not come",
        cpu::poll(|| trap::count(NMI) == 1),
    )
}
