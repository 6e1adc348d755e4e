//! Interrupts by APIC id in xAPIC mode: to each CPU, to itself, to nobody. (Intel SDM vol. 3A 11.6.2.1)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command, register};
use test_guests::smp::{self, check};
use test_guests::{Outcome, equal, guest};

guest!(test, cpus = 4);

const VECTOR: u8 = 0x71;
/// Three APIC ids that no CPU has.
const NOBODY: [u32; 3] = [4, 0x11, 0xfe];

fn test() -> Outcome {
    smp::start(CPUS)?;
    let fixed = command::ASSERT | u32::from(VECTOR);
    for round in 0..3 {
        for id in 0..CPUS as u32 {
            let what = "who took what was sent to one id";
            check(CPUS, what, VECTOR + round, 1 << id, || {
                apic::send(id, fixed + u32::from(round));
            })?;
        }
    }
    for id in NOBODY {
        check(CPUS, "who took what was sent to no id", VECTOR, 0, || {
            apic::send(id, fixed);
        })?;
    }
    equal("errors", apic::take_errors().into(), 0)?;
    // What was written is read back; what was sent is away.
    apic::send(3, fixed);
    equal("ICR", apic::read(register::ICR_LOW).into(), fixed.into())?;
    equal(
        "ICR, upper half",
        apic::read(register::ICR_HIGH).into(),
        3 << 24,
    )?;
    // A vector that belongs to the exceptions is an error of the sender, and nobody hears of it.
    for vector in [0, 15] {
        apic::send(1, command::ASSERT | vector);
        const SEND_ILLEGAL_VECTOR: u64 = 1 << 5;
        equal(
            "errors after an illegal vector",
            apic::take_errors().into(),
            SEND_ILLEGAL_VECTOR,
        )?;
    }
    smp::settle(CPUS)
}
