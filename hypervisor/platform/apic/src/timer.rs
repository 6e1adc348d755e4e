//! The local APIC timer as an alarm in TSC time. (Intel SDM vol. 3A 12.5.4)

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::msr::{IA32_TSC_DEADLINE, write_msr};
use cpu::{cpuid, read_tsc};

use crate::local::LVT_MASKED;
use crate::registers::{Register, read, write};
use crate::vectors;

const LVT_TSC_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0b1011;
const DEADLINE_MODE: u64 = u64::MAX;

/// Timer ticks per TSC tick, times 2^32; [`DEADLINE_MODE`] when the timer compares with the TSC itself.
static RATIO: AtomicU64 = AtomicU64::new(0);

/// Kind of timer behind the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The timer compares with the TSC.
    TscDeadline,
    /// The timer counts down by itself, at this rate.
    OneShot {
        /// Its frequency.
        khz: u64,
    },
}

/// The timer in use, given the TSC's frequency.
pub fn timer(tsc_khz: u64) -> Timer {
    match RATIO.load(Ordering::Relaxed) {
        DEADLINE_MODE => Timer::TscDeadline,
        ratio => Timer::OneShot {
            khz: ((u128::from(ratio) * u128::from(tsc_khz)) >> 32) as u64,
        },
    }
}

/// Prepares the timer of this CPU. The boot CPU comes first and measures the rate for all, if it has to: 10 ms.
pub fn start_timer(tsc_khz: u64) {
    let has_deadline = cpuid(1).ecx >> 24 & 1 != 0;
    if has_deadline {
        RATIO.store(DEADLINE_MODE, Ordering::Relaxed);
        write(
            Register::LvtTimer,
            LVT_TSC_DEADLINE | u32::from(vectors::ALARM),
        );
        // The mode must have changed before the first write of the deadline. (Intel SDM vol. 3A 12.5.4.1)
        core::sync::atomic::fence(Ordering::SeqCst);
        return;
    }
    write(Register::DivideConfiguration, DIVIDE_BY_1);
    if RATIO.load(Ordering::Relaxed) == 0 {
        RATIO.store(measure(tsc_khz), Ordering::Relaxed);
    }
    write(Register::LvtTimer, u32::from(vectors::ALARM));
}

/// Counts timer ticks for 10 ms of TSC time; the best of three, as a host may stop us in between.
fn measure(tsc_khz: u64) -> u64 {
    write(Register::LvtTimer, LVT_MASKED | u32::from(vectors::ALARM));
    let mut ratios = [0u64; 3];
    for ratio in &mut ratios {
        let start = read_tsc();
        write(Register::InitialCount, u32::MAX);
        let until = start + tsc_khz * 10;
        while read_tsc() < until {
            cpu::pause();
        }
        let ticks = u32::MAX - read(Register::CurrentCount);
        let elapsed = read_tsc() - start;
        *ratio = (u64::from(ticks) << 32) / elapsed.max(1);
    }
    write(Register::InitialCount, 0);
    ratios.sort_unstable();
    ratios[1].clamp(1, DEADLINE_MODE - 1)
}

/// Makes [`vectors::ALARM`] arrive on this CPU when the TSC reaches `deadline`, at once if it has. An alarm far
/// away may come early: a one-shot counter is only so wide.
#[inline]
pub fn arm(deadline: u64) {
    match RATIO.load(Ordering::Relaxed) {
        DEADLINE_MODE => {
            // SAFETY: CPUID has TSC deadline. Zero would disarm instead of firing.
            unsafe { write_msr(IA32_TSC_DEADLINE, deadline.max(1)) };
        }
        ratio => {
            let ticks = deadline.saturating_sub(read_tsc());
            let count = (u128::from(ticks) * u128::from(ratio)) >> 32;
            // Rounded up and never zero, which would disarm.
            let count = u32::try_from(count)
                .unwrap_or(u32::MAX - 1)
                .saturating_add(1);
            write(Register::InitialCount, count);
        }
    }
}

/// Takes the alarm back. One that has fired already still arrives.
#[inline]
pub fn disarm() {
    match RATIO.load(Ordering::Relaxed) {
        // SAFETY: CPUID has TSC deadline.
        DEADLINE_MODE => unsafe { write_msr(IA32_TSC_DEADLINE, 0) },
        _ => write(Register::InitialCount, 0),
    }
}
