//! Interrupts by logical id in xAPIC's cluster model: a cluster's number and four flags. (Intel SDM vol. 3A 11.6.2.2)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command, register};
use test_guests::smp::{self, check};
use test_guests::{Outcome, equal, guest};

guest!(test, cpus = 6);

const VECTOR: u8 = 0x73;
const CLUSTER: u32 = 0x0fff_ffff;

/// CPUs 0 to 2 are in cluster 0, CPUs 3 to 5 in cluster 2.
fn logical_id() -> u32 {
    let number = smp::number() as u32;
    (number / 3) << 5 | 1 << (number % 3)
}

fn take_id() -> Outcome {
    apic::write(register::LDR, logical_id() << 24);
    apic::write(register::DFR, CLUSTER);
    equal("DFR", apic::read(register::DFR).into(), CLUSTER.into())
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, take_id)?;
    let sets = [
        (0x01, 0b00_0001),
        (0x06, 0b00_0110),
        (0x0f, 0b00_0111),
        (0x08, 0),
        (0x21, 0b00_1000),
        (0x27, 0b11_1000),
        (0x25, 0b10_1000),
        (0x20, 0),
        (0x17, 0),
        (0x67, 0),
        (0xff, 0b11_1111),
    ];
    for (destination, takers) in sets {
        check(
            CPUS,
            "who took what was sent to a cluster",
            VECTOR,
            takers,
            || {
                apic::send(
                    destination,
                    command::LOGICAL | command::ASSERT | u32::from(VECTOR),
                );
            },
        )?;
    }
    Ok(())
}
