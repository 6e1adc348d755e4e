//! The TSC as a clock.

use crate::Instant;

/// Relation of the host's TSC to [`Instant`], both ways, without division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    khz: u64,
    tsc_at_start: u64,
    ns_per_tick: u64,
    ticks_per_ns: u64,
}

/// Fixed-point position of `ns_per_tick` and `ticks_per_ns`.
const SHIFT: u32 = 32;

impl Clock {
    /// A clock that was zero when the TSC was `tsc_at_start` and runs at `khz`, at least 1.
    #[must_use]
    pub const fn new(khz: u64, tsc_at_start: u64) -> Self {
        let khz = if khz == 0 { 1 } else { khz };
        Self {
            khz,
            tsc_at_start,
            ns_per_tick: ((1_000_000u128 << SHIFT) / khz as u128) as u64,
            ticks_per_ns: (((khz as u128) << SHIFT) / 1_000_000) as u64,
        }
    }

    /// TSC frequency in kHz.
    #[must_use]
    pub const fn khz(&self) -> u64 {
        self.khz
    }

    /// When the TSC has (or had) this value; zero for values before the start.
    #[must_use]
    #[inline]
    pub const fn instant(&self, tsc: u64) -> Instant {
        let ticks = tsc.saturating_sub(self.tsc_at_start);
        Instant::from_ns(((ticks as u128 * self.ns_per_tick as u128) >> SHIFT) as u64)
    }

    /// The TSC's value at `at`, rounded up, so that waiting for it never wakes early.
    #[must_use]
    #[inline]
    pub const fn tsc(&self, at: Instant) -> u64 {
        let ticks = (at.as_ns() as u128 * self.ticks_per_ns as u128) >> SHIFT;
        let ticks = if ticks > u64::MAX as u128 {
            u64::MAX
        } else {
            ticks as u64
        };
        self.tsc_at_start.saturating_add(ticks).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_differs_by_a_tick() {
        let clock = Clock::new(2_100_000, 12_345);
        for ns in [0, 1, 999, 1_000_000_007, 86_400_000_000_000] {
            let back = clock.instant(clock.tsc(Instant::from_ns(ns))).as_ns();
            assert!(
                back.abs_diff(ns) <= 1 + ns / 1_000_000_000,
                "{ns} became {back}"
            );
        }
    }

    #[test]
    fn the_end_of_time_does_not_wrap() {
        let clock = Clock::new(5_000_000, 1);
        assert_eq!(clock.tsc(Instant::from_ns(u64::MAX)), u64::MAX);
    }
}
