//! Lowest priority: exactly one of those named takes it, and it is one that can. (Intel SDM vol. 3A 11.6.2.4)
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use test_guests::apic::{self, command, register};
use test_guests::smp;
use test_guests::{Outcome, equal, guest, that, trap};

guest!(test, cpus = 4);

const VECTOR: u8 = 0x77;

static MAY_HEAR_AGAIN: AtomicBool = AtomicBool::new(false);
static IS_DEAF: AtomicBool = AtomicBool::new(false);

/// Off by SVR until it is told.
fn be_deaf() -> Outcome {
    apic::write(register::SVR, 0xff);
    IS_DEAF.store(true, SeqCst);
    let is_told = smp::wait(|| MAY_HEAR_AGAIN.load(SeqCst));
    apic::enable();
    that("it was not told to hear again", is_told)
}

fn taken() -> [u32; CPUS] {
    core::array::from_fn(|cpu| trap::count_on(cpu, VECTOR))
}

/// Sends to this set so often; counts who took it.
fn send(flags: u32, times: u32) -> Result<[u32; CPUS], test_guests::Fail> {
    let before = taken();
    for round in 1..=times {
        let mode = command::LOWEST_PRIORITY | command::LOGICAL | command::ASSERT;
        apic::send(flags, mode | u32::from(VECTOR));
        // Sent twice before it is taken, it would count once.
        let sum = |counts: [u32; CPUS]| counts.iter().sum::<u32>();
        let is_taken = smp::wait(|| {
            test_guests::cpu::let_in();
            sum(taken()) - sum(before) >= round
        });
        that("nobody takes it", is_taken)?;
        smp::settle(CPUS)?;
        equal(
            "takers of one interrupt",
            (sum(taken()) - sum(before)).into(),
            round.into(),
        )?;
    }
    let after = taken();
    Ok(core::array::from_fn(|cpu| after[cpu] - before[cpu]))
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, || {
        apic::write(register::LDR, 1 << (24 + smp::number()));
        Ok(())
    })?;
    let counts = send(0b1110, 12)?;
    equal("taken by one that was not named", counts[0].into(), 0)?;
    let counts = send(0b0100, 3)?;
    equal("taken by the only one that was named", counts[2].into(), 3)?;

    // One that is off cannot take it.
    smp::set_deaf(2, true);
    smp::begin_on(2, be_deaf);
    that(
        "CPU 2 does not switch its local APIC off",
        smp::wait(|| IS_DEAF.load(SeqCst)),
    )?;
    let counts = send(0b1100, 8)?;
    equal("taken by one that is off", counts[2].into(), 0)?;
    equal("taken by the one that is on", counts[3].into(), 8)?;
    MAY_HEAR_AGAIN.store(true, SeqCst);
    smp::finish(2)?;
    smp::set_deaf(2, false);
    let counts = send(0b0100, 1)?;
    equal("taken by the one that is on again", counts[2].into(), 1)
}
