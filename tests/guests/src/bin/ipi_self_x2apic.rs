//! The SELF IPI register of x2APIC mode, and what it refuses. (Intel SDM vol. 3A 11.12.11, 11.5.3)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command, register};
use test_guests::{Outcome, catch, cpu, equal, guest, println, smp, that, trap};

guest!(test, cpus = 2);

const VECTOR: u8 = 0x78;
const ERROR_VECTOR: u8 = 0x79;
const SELF_IPI: u32 = 0x83f;
const SEND_ILLEGAL_VECTOR: u64 = 1 << 5;

fn refused(what: &'static str, f: impl FnOnce()) -> Outcome {
    that(what, catch(f).is_some_and(|trap| trap.vector == 13))
}

fn on_one() -> Outcome {
    apic::enter_x2apic();
    // Held back, it waits in IRR; let in, it comes once.
    let before = trap::count(VECTOR);
    apic::send_self(VECTOR);
    apic::send_self(VECTOR);
    that("it is not requested", apic::bit(register::IRR, VECTOR))?;
    equal(
        "interrupts while they are off",
        (trap::count(VECTOR) - before).into(),
        0,
    )?;
    cpu::let_in();
    that(
        "it does not come",
        smp::wait(|| {
            cpu::let_in();
            trap::count(VECTOR) > before
        }),
    )?;
    cpu::let_in();
    equal("interrupts", (trap::count(VECTOR) - before).into(), 1)?;
    that("it is still requested", !apic::bit(register::IRR, VECTOR))?;

    // The vectors of exceptions are errors of the sender, and raise the error interrupt.
    apic::write(register::LVT_ERROR, ERROR_VECTOR.into());
    let errors = trap::count(ERROR_VECTOR);
    for (round, vector) in (1..).zip([0, 2, 15]) {
        if round % 2 == 0 {
            apic::send(0, command::SELF | command::ASSERT | vector);
        } else {
            cpu::wrmsr(SELF_IPI, vector.into());
        }
        let is_told = smp::wait(|| {
            cpu::let_in();
            trap::count(ERROR_VECTOR) - errors == round
        });
        that("an illegal vector raises no error interrupt", is_told)?;
        equal("errors", apic::take_errors().into(), SEND_ILLEGAL_VECTOR)?;
        that(
            "an illegal vector is requested",
            apic::read(register::IRR) & 0xffff == 0,
        )?;
    }
    equal("errors at the end", apic::take_errors().into(), 0)?;

    refused("SELF IPI can be read", || {
        test_guests::discard(cpu::rdmsr(SELF_IPI))
    })?;
    refused("bit 8 of SELF IPI can be set", || {
        cpu::wrmsr(SELF_IPI, 0x178)
    })?;
    refused("bit 32 of SELF IPI can be set", || {
        cpu::wrmsr(SELF_IPI, 1 << 32 | 0x78)
    })?;
    refused("a reserved bit of ICR can be set", || {
        cpu::wrmsr(0x830, 1 << 20 | 0x78)
    })?;
    refused("ICR has an upper half of its own", || cpu::wrmsr(0x831, 0))?;
    equal(
        "interrupts by what is refused",
        (trap::count(VECTOR) - before).into(),
        1,
    )
}

fn test() -> Outcome {
    if !apic::has_x2apic() {
        println!("note ipi_self_x2apic: not offered");
        return Ok(());
    }
    smp::start(CPUS)?;
    refused("SELF IPI answers in xAPIC mode", || {
        cpu::wrmsr(SELF_IPI, VECTOR.into())
    })?;
    smp::run_on(1, on_one)?;
    equal("interrupts of the other CPU", trap::count(VECTOR).into(), 0)?;
    on_one()
}
