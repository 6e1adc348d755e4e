//! The local APIC by its MSRs: registers, interrupts to itself, reserved ones refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, register};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, catch, cpu, equal, guest, println, that};

guest!(test);

const VECTOR: u8 = 0x71;
const NMI: u8 = 2;

fn refused(what: &'static str, f: impl FnOnce()) -> Outcome {
    that(what, catch(f).is_some_and(|trap| trap.vector == 13))
}

fn test() -> Outcome {
    if !apic::has_x2apic() {
        println!("note x2apic: not offered");
        return Ok(());
    }
    apic::enter_x2apic();
    equal("ID", apic::read(register::ID).into(), 0)?;
    equal("LDR", cpu::rdmsr(0x80d), 1)?;
    refused("a reserved register answers", || {
        test_guests::discard(cpu::rdmsr(0x800))
    })?;
    refused("DFR answers", || test_guests::discard(cpu::rdmsr(0x80e)))?;
    refused("a write to the version is taken", || cpu::wrmsr(0x803, 0))?;
    refused("a value for EOI is taken", || cpu::wrmsr(0x80b, 1))?;
    refused("reserved bits of SVR are taken", || {
        cpu::wrmsr(0x80f, 1 << 32)
    })?;
    refused("back to xAPIC mode is allowed", || {
        cpu::wrmsr(0x1b, cpu::rdmsr(0x1b) & !(1 << 10))
    })?;

    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    cpu::sti();
    for round in 1..=10 {
        apic::send_self(VECTOR);
        that(
            "an interrupt to itself does not come",
            cpu::poll(|| trap::count(VECTOR) == round),
        )?;
    }
    const SELF_BY_ICR: u64 = 0b01 << 18;
    cpu::wrmsr(0x830, SELF_BY_ICR | u64::from(VECTOR));
    that(
        "an interrupt by ICR does not come",
        cpu::poll(|| trap::count(VECTOR) == 11),
    )?;
    cpu::cli();
    apic::send_nmi_to_self();
    that(
        "an NMI to itself does not come",
        cpu::poll(|| trap::count(NMI) == 1),
    )
}
