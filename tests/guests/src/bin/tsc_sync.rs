//! The TSC is one clock on all CPUs: nobody sees it go back, whoever read it before. (Intel SDM vol. 3B 18.17)
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use test_guests::Fail;
use test_guests::{Outcome, cpu, equal, guest, smp, that};

guest!(test, cpus = 4);

const TSC: u32 = 0x10;
const TSC_ADJUST: u32 = 0x3b;
/// Rounds of each CPU in which the TSC may not go back.
const ROUNDS: u32 = 20_000;
/// How far CPU 1 is moved: further than all that is between two reads.
const FAR: u64 = 1 << 50;

static LATEST: AtomicU64 = AtomicU64::new(0);

/// Reads the TSC behind whatever somebody read of it before.
fn compare() -> Outcome {
    for round in 0..ROUNDS {
        let latest = LATEST.load(SeqCst);
        let now = cpu::rdtsc_behind_loads();
        if now < latest {
            return Err(Fail::with("TSC went back", now, latest));
        }
        LATEST.fetch_max(now, SeqCst);
        // Others on this physical CPU have their turn in between.
        if round % 1_000 == 0 {
            smp::relax();
        }
    }
    Ok(())
}

fn has_no_adjustment() -> Outcome {
    equal("TSC_ADJUST", cpu::rdmsr(TSC_ADJUST), 0)
}

/// Its own TSC moves with TSC_ADJUST, and back.
fn move_away_and_back() -> Outcome {
    cpu::wrmsr(TSC_ADJUST, FAR);
    equal("TSC_ADJUST that was written", cpu::rdmsr(TSC_ADJUST), FAR)?;
    that("TSC does not move with TSC_ADJUST", cpu::rdtsc() > FAR)?;
    LATEST.store(cpu::rdtsc(), SeqCst);
    cpu::wrmsr(TSC_ADJUST, 0);
    that("TSC does not move back", cpu::rdtsc() < FAR)?;
    // A write to the TSC is an adjustment too.
    cpu::wrmsr(TSC, cpu::rdtsc() + FAR);
    that(
        "a written TSC leaves no adjustment",
        cpu::rdmsr(TSC_ADJUST) > FAR / 2,
    )?;
    cpu::wrmsr(TSC_ADJUST, 0);
    Ok(())
}

fn test() -> Outcome {
    const HAS_TSC_ADJUST: u32 = 1 << 1;
    smp::start(CPUS)?;
    smp::run_on_all(CPUS, compare)?;
    if cpu::cpuid(7, 0).ebx & HAS_TSC_ADJUST == 0 {
        test_guests::println!("note tsc_sync: no TSC_ADJUST");
        return Ok(());
    }
    smp::run_on_all(CPUS, has_no_adjustment)?;
    smp::run_on(1, move_away_and_back)?;
    // It moved that one alone.
    that(
        "the TSC of others moved",
        cpu::rdtsc() < LATEST.load(SeqCst),
    )?;
    LATEST.store(0, SeqCst);
    smp::run_on_all(CPUS, compare)
}
