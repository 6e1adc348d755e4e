//! Thirty-two CPUs interrupt all others as fast as they can, while they are interrupted themselves: nothing that matters is lost.
//!
//! Two of one vector may count as one, but behind the last one sent every CPU must take one more. NMIs come in between.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, command};
use test_guests::{Fail, Outcome, cpu, guest, println, smp, that, trap};

guest!(test, cpus = 32);

/// Each CPU sends a vector of its own: this one for CPU 0, the next one for CPU 1 …
const FIRST_VECTOR: u8 = 0x80;
const NMI: u8 = 2;
/// How often each CPU sends to all others.
const ROUNDS: u32 = 40;
/// Every so often, an NMI goes to the next CPU.
const ROUNDS_PER_NMI: u32 = 8;

static STORMED: AtomicU32 = AtomicU32::new(0);
/// The round in which each sender is; each taker notes what it saw last of each.
static ROUND: [AtomicU32; CPUS] = [const { AtomicU32::new(0) }; CPUS];
static SEEN: [[AtomicU32; CPUS]; CPUS] = [const { [const { AtomicU32::new(0) }; CPUS] }; CPUS];

fn hook(vector: u8) {
    let sender = usize::from(vector.wrapping_sub(FIRST_VECTOR));
    if let Some(round) = ROUND.get(sender) {
        SEEN[smp::number()][sender].store(round.load(SeqCst), SeqCst);
    }
}

fn storm() -> Outcome {
    let number = smp::number();
    cpu::sti();
    for round in 1..=ROUNDS {
        ROUND[number].store(round, SeqCst);
        let vector = u32::from(FIRST_VECTOR) + number as u32;
        apic::send(0, command::ALL_BUT_SELF | command::ASSERT | vector);
        if round % ROUNDS_PER_NMI == 0 {
            let next = (number + 1) % CPUS;
            apic::send(next as u32, command::NMI | command::ASSERT);
        }
    }
    STORMED.fetch_add(1, SeqCst);
    cpu::cli();
    Ok(())
}

/// Whether a CPU took the last one of every other.
fn has_all(taker: usize) -> bool {
    let mut others = (0..CPUS).filter(|sender| *sender != taker);
    others.all(|sender| SEEN[taker][sender].load(SeqCst) == ROUNDS)
}

fn test() -> Outcome {
    trap::set_hook(hook);
    smp::start(CPUS)?;
    let start = cpu::rdtsc();
    smp::run_on_all(CPUS, storm)?;
    that("not all have sent", STORMED.load(SeqCst) == CPUS as u32)?;
    for taker in 0..CPUS {
        let is_there = smp::wait(|| {
            cpu::let_in();
            has_all(taker)
        });
        if !is_there {
            return Err(Fail::with(
                "the last interrupts of a storm",
                taker as u64,
                0,
            ));
        }
    }
    for cpu in 0..CPUS {
        if trap::count_on(cpu, NMI) == 0 {
            return Err(Fail::with("no NMI of the storm came", cpu as u64, 0));
        }
    }
    let sent = u64::from(ROUNDS) * CPUS as u64;
    println!(
        "note ipi_storm: {} ticks a broadcast",
        (cpu::rdtsc() - start) / sent
    );
    Ok(())
}
