//! Thirty-two CPUs come up, each with its own id, and all of them count.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, command};
use test_guests::smp::{self, check};
use test_guests::{Outcome, cpu, equal, guest, println};

guest!(test, cpus = 32);

const VECTOR: u8 = 0x7a;
const ROUNDS: u32 = 50;

static SUM: AtomicU32 = AtomicU32::new(0);
static IDS: AtomicU32 = AtomicU32::new(0);

fn count() -> Outcome {
    for _ in 0..ROUNDS {
        SUM.fetch_add(1, SeqCst);
    }
    let number = smp::number();
    IDS.fetch_or(1 << number, SeqCst);
    equal(
        "x2APIC id in CPUID leaf 0xb",
        cpu::cpuid(0xb, 0).edx.into(),
        number as u64,
    )
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, count)?;
    equal(
        "sum",
        SUM.load(SeqCst).into(),
        u64::from(ROUNDS) * CPUS as u64,
    )?;
    equal("ids", IDS.load(SeqCst).into(), u32::MAX.into())?;
    let everyone = command::ASSERT | u32::from(VECTOR);
    check(
        CPUS,
        "who took what was sent to all",
        VECTOR,
        u32::MAX,
        || {
            apic::send(0, everyone | command::ALL);
        },
    )?;
    check(
        CPUS,
        "who took what was sent to the last",
        VECTOR,
        1 << 31,
        || {
            apic::send(31, everyone);
        },
    )?;
    if !apic::has_x2apic() {
        println!("note smp_32: x2APIC is not offered");
        return Ok(());
    }
    smp::run_on_all(CPUS, || {
        apic::enter_x2apic();
        Ok(())
    })?;
    check(
        CPUS,
        "who took what was sent to all ones",
        VECTOR,
        u32::MAX,
        || {
            apic::send(u32::MAX, everyone);
        },
    )?;
    check(
        CPUS,
        "who took what was sent to a cluster",
        VECTOR,
        0xffff << 16,
        || {
            apic::send(0x0001_ffff, everyone | command::LOGICAL);
        },
    )
}
