//! The local APIC's timer: one-shot, periodic, TSC deadline.
//!
//! Follows Intel SDM vol. 3A 11.5.4. The input clock runs at 1 GHz, so a count at divide 1 is a nanosecond.

use device::BadState;
use serde::{Deserialize, Serialize};
use time::Instant;

/// The timer's input clock, before the divider.
pub const APIC_TIMER_HZ: u64 = 1_000_000_000;

const DIVIDE_WRITABLE: u8 = 0b1011;

/// A shorter period is stretched to this: a guest cannot have the alarm all to itself.
const MIN_PERIOD_NS: u64 = 20_000;

/// Bits 18:17 of the timer's LVT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerMode {
    OneShot,
    Periodic,
    TscDeadline,
}

impl TimerMode {
    /// The mode in an LVT entry; the reserved one counts as one-shot.
    pub(super) const fn of(lvt: u32) -> Self {
        match lvt >> 17 & 3 {
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::OneShot,
        }
    }
}

/// The timer without its LVT entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timer {
    /// Divide configuration register.
    divide: u8,
    initial: u32,
    /// When the count reaches zero, or the TSC its deadline.
    expires: Option<Instant>,
    /// IA32_TSC_DEADLINE; 0 when disarmed.
    tsc_deadline: u64,
}

impl Timer {
    /// Checks one that was saved.
    pub(super) const fn check(&self) -> Result<(), BadState> {
        BadState::unless(
            self.divide & !DIVIDE_WRITABLE == 0,
            "the timer's divider has reserved bits",
        )
    }

    pub(super) const fn divide(&self) -> u8 {
        self.divide
    }

    pub(super) const fn initial(&self) -> u32 {
        self.initial
    }

    pub(super) const fn tsc_deadline(&self) -> u64 {
        self.tsc_deadline
    }

    #[inline]
    pub(super) const fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Nanoseconds a count takes: 1 to 128.
    const fn count_ns(&self) -> u64 {
        let code = (self.divide >> 1 & 4) | self.divide & 3;
        1 << ((code + 1) & 7)
    }

    /// The current-count register.
    pub(super) fn current(&self, now: Instant, mode: TimerMode) -> u32 {
        match (mode, self.expires) {
            (TimerMode::TscDeadline, _) | (_, None) => 0,
            (_, Some(at)) => {
                let counts = at.since_ns(now).div_ceil(self.count_ns());
                u32::try_from(counts).unwrap_or(u32::MAX).min(self.initial)
            }
        }
    }

    pub(super) fn write_initial(&mut self, now: Instant, mode: TimerMode, value: u32) {
        if mode == TimerMode::TscDeadline {
            return;
        }
        self.initial = value;
        self.expires = (value != 0).then(|| now.after_ns(u64::from(value) * self.count_ns()));
    }

    /// Changes the divider; what is left of the count goes on at the new speed.
    pub(super) fn write_divide(&mut self, now: Instant, mode: TimerMode, value: u8) {
        let left = self.current(now, mode);
        self.divide = value & DIVIDE_WRITABLE;
        if mode != TimerMode::TscDeadline && self.expires.is_some() {
            self.expires = Some(now.after_ns(u64::from(left) * self.count_ns()));
        }
    }

    /// The LVT entry changed its mode: to or from TSC deadline disarms. (Intel SDM vol. 3A 11.5.4.1)
    pub(super) fn change_mode(&mut self, from: TimerMode, to: TimerMode) {
        if from != to && (from == TimerMode::TscDeadline || to == TimerMode::TscDeadline) {
            (self.expires, self.tsc_deadline, self.initial) = (None, 0, 0);
        }
    }

    #[inline]
    pub(super) fn write_tsc_deadline(&mut self, value: u64, at: Option<Instant>) {
        self.tsc_deadline = value;
        self.expires = at.filter(|_| value != 0);
    }

    /// Goes on to `now`; says whether the timer expired. Periods that were missed count as one.
    #[inline]
    pub(super) fn advance(&mut self, now: Instant, mode: TimerMode) -> bool {
        let Some(at) = self.expires.filter(|at| *at <= now) else {
            return false;
        };
        self.expires = match mode {
            TimerMode::OneShot => None,
            TimerMode::TscDeadline => {
                self.tsc_deadline = 0;
                None
            }
            TimerMode::Periodic => {
                let period_ns = (u64::from(self.initial) * self.count_ns()).max(MIN_PERIOD_NS);
                let periods = now.since_ns(at) / period_ns + 1;
                Some(at.after_ns(periods.saturating_mul(period_ns)))
            }
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_ns(1_000);

    #[test]
    fn one_shot_counts_down_and_expires_once() {
        let mut timer = Timer::default();
        timer.write_divide(START, TimerMode::OneShot, 0b1011);
        timer.write_initial(START, TimerMode::OneShot, 500);
        let half = START.after_ns(250);
        assert_eq!(timer.current(half, TimerMode::OneShot), 250);
        assert!(!timer.advance(START.after_ns(499), TimerMode::OneShot));
        assert!(timer.advance(START.after_ns(500), TimerMode::OneShot));
        assert!(!timer.advance(START.after_ns(5000), TimerMode::OneShot));
        assert_eq!(timer.current(half, TimerMode::OneShot), 0);
    }

    #[test]
    fn periodic_keeps_its_phase_over_a_long_sleep() {
        let mut timer = Timer::default();
        timer.write_divide(START, TimerMode::Periodic, 0b1011);
        timer.write_initial(START, TimerMode::Periodic, 1_000_000);
        let late = START.after_ns(u64::from(u32::MAX) * 1_000_000 + 5);
        assert!(timer.advance(late, TimerMode::Periodic));
        assert!(!timer.advance(late, TimerMode::Periodic));
        let next = timer.expires().expect("periodic");
        assert_eq!(next.since_ns(START) % 1_000_000, 0);
        assert_eq!(next.since_ns(late), 999_995);
    }

    #[test]
    fn the_divider_stretches_what_is_left() {
        let mut timer = Timer::default();
        timer.write_initial(START, TimerMode::OneShot, 100);
        assert_eq!(timer.expires(), Some(START.after_ns(200)));
        timer.write_divide(START.after_ns(100), TimerMode::OneShot, 0b1011);
        assert_eq!(timer.expires(), Some(START.after_ns(150)));
    }

    #[test]
    fn extreme_counts_neither_overflow_nor_storm() {
        let mut timer = Timer::default();
        let end = Instant::from_ns(u64::MAX);
        timer.write_divide(end, TimerMode::Periodic, 0b1010);
        timer.write_initial(end, TimerMode::Periodic, u32::MAX);
        timer.advance(end, TimerMode::Periodic);
        timer.write_divide(START, TimerMode::Periodic, 0b1011);
        timer.write_initial(START, TimerMode::Periodic, 1);
        assert!(timer.advance(START.after_ns(1), TimerMode::Periodic));
        assert!(timer.expires() >= Some(START.after_ns(MIN_PERIOD_NS)));
    }
}
