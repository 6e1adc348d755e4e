//! Interrupts by x2APIC id, all 32 bits of it. (Intel SDM vol. 3A 11.12.9)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command};
use test_guests::smp::{self, check};
use test_guests::{Outcome, cpu, equal, guest, println};

guest!(test, cpus = 4);

const VECTOR: u8 = 0x74;
/// What only looks like the id of a CPU, or like xAPIC's broadcast.
const NOBODY: [u32; 5] = [4, 0xff, 0x101, 0x0100_0000, 0xffff_ff01];

fn go_over() -> Outcome {
    apic::enter_x2apic();
    equal("x2APIC id", cpu::rdmsr(0x802), smp::number() as u64)
}

fn test() -> Outcome {
    if !apic::has_x2apic() {
        println!("note ipi_x2apic_physical: not offered");
        return Ok(());
    }
    smp::start(CPUS)?;
    // One after the other: in between, CPUs in either mode send to each other.
    go_over()?;
    let fixed = command::ASSERT | u32::from(VECTOR);
    for cpu in 1..CPUS {
        smp::run_on(cpu, go_over)?;
        check(
            CPUS,
            "who took what was sent into a mixture of modes",
            VECTOR,
            1 << cpu,
            || {
                apic::send(cpu as u32, fixed);
            },
        )?;
    }
    for id in 0..CPUS as u32 {
        check(
            CPUS,
            "who took what was sent to one id",
            VECTOR,
            1 << id,
            || {
                apic::send(id, fixed);
            },
        )?;
    }
    for id in NOBODY {
        check(CPUS, "who took what was sent to no id", VECTOR, 0, || {
            apic::send(id, fixed);
        })?;
    }
    // It is one register of 64 bits, and nothing is ever on its way when it is read.
    apic::send(NOBODY[4], fixed);
    equal(
        "ICR",
        cpu::rdmsr(0x830),
        u64::from(NOBODY[4]) << 32 | u64::from(fixed),
    )
}
