//! A ticket lock that more CPUs want than there are: it comes round, everybody gets the same share.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use test_guests::{Outcome, cpu, equal, guest, println, smp, that};

guest!(test, cpus = 8);

/// How often each CPU takes it.
const ROUNDS: u32 = 40;

static ARRIVED: AtomicU32 = AtomicU32::new(0);
static TICKET: AtomicU32 = AtomicU32::new(0);
static TURN: AtomicU32 = AtomicU32::new(0);
/// Guarded by the lock: two halves of one number.
static GUARDED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static BROKEN: AtomicU32 = AtomicU32::new(0);

fn work() -> Outcome {
    cpu::sti();
    ARRIVED.fetch_add(1, SeqCst);
    let are_all_here = smp::wait(|| ARRIVED.load(SeqCst) == CPUS as u32);
    that("not all arrive", are_all_here)?;
    for _ in 0..ROUNDS {
        let ticket = TICKET.fetch_add(1, SeqCst);
        that(
            "the lock does not come round",
            smp::wait(|| TURN.load(SeqCst) == ticket),
        )?;
        let [one, other] = &GUARDED;
        let value = one.load(SeqCst);
        one.store(value + 1, SeqCst);
        if other.load(SeqCst) != value {
            BROKEN.fetch_add(1, SeqCst);
        }
        other.store(value + 1, SeqCst);
        TURN.fetch_add(1, SeqCst);
    }
    cpu::cli();
    Ok(())
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    let start = cpu::rdtsc();
    smp::run_on_all(CPUS, work)?;
    let all = u64::from(ROUNDS) * CPUS as u64;
    println!(
        "note spinlock_contention: {} ticks a turn",
        (cpu::rdtsc() - start) / all
    );
    equal("turns", GUARDED[0].load(SeqCst), all)?;
    equal("turns that met another", BROKEN.load(SeqCst).into(), 0)
}
