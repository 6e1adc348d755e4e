//! Interrupts to everyone: by shorthand, and by the destinations that mean all, in both modes.
//! (Intel SDM vol. 3A 11.6.1, 11.6.2, 11.12.9)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command};
use test_guests::smp::{self, check};
use test_guests::{Outcome, guest, println};

guest!(test, cpus = 4);

const VECTOR: u8 = 0x76;
const EVERYONE: u32 = 0b1111;
const SENDER: u32 = 0b0001;
const OTHERS: u32 = EVERYONE & !SENDER;

/// Sends to everyone in all ways, and elsewhere in some that look alike.
fn send_all(everyone: u32, but_not: &[u32]) -> Outcome {
    let fixed = command::ASSERT | u32::from(VECTOR);
    let shorthands = [
        (command::SELF, SENDER),
        (command::ALL, EVERYONE),
        (command::ALL_BUT_SELF, OTHERS),
    ];
    for (shorthand, takers) in shorthands {
        // A shorthand takes no destination.
        for destination in [0, 2, everyone] {
            check(
                CPUS,
                "who took what was sent by shorthand",
                VECTOR,
                takers,
                || {
                    apic::send(destination, shorthand | fixed);
                },
            )?;
        }
    }
    for mode in [0, command::LOGICAL] {
        check(
            CPUS,
            "who took what was sent to all ones",
            VECTOR,
            EVERYONE,
            || {
                apic::send(everyone, mode | fixed);
            },
        )?;
    }
    for destination in but_not {
        check(
            CPUS,
            "who took what was sent to many ones",
            VECTOR,
            0,
            || {
                apic::send(*destination, fixed);
            },
        )?;
    }
    Ok(())
}

/// Each of the others is the sender once.
fn send_from_here() -> Outcome {
    apic::send(
        0,
        command::ALL_BUT_SELF | command::ASSERT | u32::from(VECTOR),
    );
    Ok(())
}

fn from_each() -> Outcome {
    for cpu in 1..CPUS {
        let what = "who took what another CPU sent to all but itself";
        check(CPUS, what, VECTOR, EVERYONE & !(1 << cpu), || {
            smp::begin_on(cpu, send_from_here);
        })?;
        smp::finish(cpu)?;
    }
    Ok(())
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    send_all(0xff, &[0xfe, 0x7f])?;
    from_each()?;
    if !apic::has_x2apic() {
        println!("note ipi_broadcast: x2APIC is not offered");
        return Ok(());
    }
    smp::run_on_all(CPUS, || {
        apic::enter_x2apic();
        Ok(())
    })?;
    send_all(u32::MAX, &[0xff, 0xffff, 0x7fff_ffff, 0xff00_0000])?;
    from_each()
}
