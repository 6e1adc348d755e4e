//! NMIs from another CPU: to a halted one, to one with interrupts off, and while one is served.
//! (Intel SDM vol. 3A 7.7.1, 11.6.1)
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, command};
use test_guests::smp::{self, check};
use test_guests::{Outcome, cpu, equal, guest, that, trap};

guest!(test, cpus = 3);

const NMI: u8 = 2;

static IS_READY: AtomicBool = AtomicBool::new(false);
/// An NMI handler waits while this is set.
static IS_HELD: AtomicBool = AtomicBool::new(false);
static SERVING: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);

fn send_nmi(cpu: u32) {
    apic::send(cpu, command::NMI | command::ASSERT);
}

/// Holds the handler of CPU 1.
fn hook(vector: u8) {
    if vector == NMI && smp::number() == 1 {
        let depth = SERVING.fetch_add(1, SeqCst) + 1;
        DEEPEST.fetch_max(depth, SeqCst);
        while IS_HELD.load(SeqCst) {
            smp::relax();
        }
        SERVING.fetch_sub(1, SeqCst);
    }
}

/// Spins with interrupts off until an NMI came.
fn spin_closed() -> Outcome {
    let before = trap::count(NMI);
    IS_READY.store(true, SeqCst);
    that(
        "no NMI comes while interrupts are off",
        smp::wait(|| trap::count(NMI) > before),
    )
}

/// Halts with interrupts off: nothing but an NMI ends that.
fn halt_closed() -> Outcome {
    let before = trap::count(NMI);
    IS_READY.store(true, SeqCst);
    cpu::hlt_closed();
    that(
        "something else ended the halt",
        trap::count(NMI) == before + 1,
    )
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    trap::set_hook(hook);
    // Halted with interrupts on, and to oneself.
    for id in 0..CPUS as u32 {
        check(CPUS, "who took an NMI", NMI, 1 << id, || send_nmi(id))?;
    }
    check(
        CPUS,
        "who took an NMI to all but the sender",
        NMI,
        0b110,
        || {
            apic::send(0, command::NMI | command::ASSERT | command::ALL_BUT_SELF);
        },
    )?;
    // The vector of an NMI means nothing.
    check(CPUS, "who took an NMI with a vector", NMI, 0b010, || {
        apic::send(1, command::NMI | command::ASSERT | 0x55);
    })?;
    equal(
        "interrupts with the vector of an NMI",
        trap::count_on(1, 0x55).into(),
        0,
    )?;

    for work in [spin_closed as fn() -> Outcome, halt_closed] {
        IS_READY.store(false, SeqCst);
        smp::begin_on(2, work);
        that("CPU 2 does not begin", smp::wait(|| IS_READY.load(SeqCst)))?;
        // A halt that was not reached yet when the NMI comes would last for ever.
        smp::rest(20_000_000);
        send_nmi(2);
        smp::finish(2)?;
    }

    // Up to IRET, NMIs are blocked, and one is kept.
    let before = trap::count_on(1, NMI);
    IS_HELD.store(true, SeqCst);
    send_nmi(1);
    that(
        "CPU 1 does not serve the NMI",
        smp::wait(|| SERVING.load(SeqCst) == 1),
    )?;
    for _ in 0..3 {
        send_nmi(1);
        smp::rest(1_000_000);
    }
    equal(
        "NMIs while one is served",
        (trap::count_on(1, NMI) - before).into(),
        1,
    )?;
    IS_HELD.store(false, SeqCst);
    let is_second = smp::wait(|| trap::count_on(1, NMI) - before == 2);
    that("the NMI that was kept does not come", is_second)?;
    smp::settle(CPUS)?;
    equal("NMIs in all", (trap::count_on(1, NMI) - before).into(), 2)?;
    equal(
        "NMIs served inside each other",
        DEEPEST.load(SeqCst).into(),
        1,
    )
}
