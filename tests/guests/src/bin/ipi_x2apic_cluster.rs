//! Interrupts by logical x2APIC id: clusters of sixteen, which follow from the id. (Intel SDM vol. 3A 11.12.10)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command};
use test_guests::smp::{self, check};
use test_guests::{Outcome, cpu, equal, guest, println};

guest!(test, cpus = 18);

const VECTOR: u8 = 0x75;

fn go_over() -> Outcome {
    apic::enter_x2apic();
    let id = smp::number() as u64;
    equal("LDR", cpu::rdmsr(0x80d), (id / 16) << 16 | 1 << (id % 16))
}

fn test() -> Outcome {
    if !apic::has_x2apic() {
        println!("note ipi_x2apic_cluster: not offered");
        return Ok(());
    }
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, go_over)?;
    let sets = [
        (0x0000_0001, 1 << 0),
        (0x0000_8000, 1 << 15),
        (0x0000_8421, 0x8421),
        (0x0001_0001, 1 << 16),
        (0x0001_0002, 1 << 17),
        (0x0001_ffff, 0b11 << 16),
        (0x0001_fffc, 0),
        (0x0002_ffff, 0),
        (0x0000_0000, 0),
        (0xffff_ffff, 0x3_ffff),
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
