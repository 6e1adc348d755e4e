//! Interrupts by logical id in xAPIC's flat model: eight flags. (Intel SDM vol. 3A 11.6.2.2)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command, register};
use test_guests::smp::{self, check};
use test_guests::{Outcome, equal, guest};

guest!(test, cpus = 4);

const VECTOR: u8 = 0x72;
const FLAT: u32 = u32::MAX;

/// CPU 3 has two flags.
fn logical_id() -> u32 {
    match smp::number() {
        3 => 0b1000_1000,
        number => 1 << number,
    }
}

fn take_id() -> Outcome {
    apic::write(register::DFR, FLAT);
    apic::write(register::LDR, logical_id() << 24);
    equal(
        "LDR",
        apic::read(register::LDR).into(),
        u64::from(logical_id()) << 24,
    )
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, take_id)?;
    let send = |flags: u32| {
        apic::send(
            flags,
            command::LOGICAL | command::ASSERT | u32::from(VECTOR),
        )
    };
    let sets = [
        (0b0001, 0b0001),
        (0b0010, 0b0010),
        (0b0110, 0b0110),
        (0b1000, 0b1000),
        (0b1000_0000, 0b1000),
        (0b1000_1000, 0b1000),
        (0b1001_0001, 0b1001),
        (0b0111_0000, 0),
        (0, 0),
        (0xff, 0b1111),
    ];
    for (flags, takers) in sets {
        check(
            CPUS,
            "who took what was sent to a set of flags",
            VECTOR,
            takers,
            || send(flags),
        )?;
    }
    // A changed id counts from then on.
    smp::run_on(1, || {
        apic::write(register::LDR, 0b0110_0000 << 24);
        Ok(())
    })?;
    check(
        CPUS,
        "who took what was sent to a flag that is nobody's any more",
        VECTOR,
        0,
        || {
            send(0b0010);
        },
    )?;
    check(
        CPUS,
        "who took what was sent to a new flag",
        VECTOR,
        0b0010,
        || {
            send(0b0100_0000);
        },
    )
}
