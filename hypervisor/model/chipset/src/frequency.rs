//! Exact conversion between nanoseconds and the ticks of a fixed frequency.

use time::Instant;

const NS_PER_S: u64 = 1_000_000_000;

/// A frequency in Hz, between 1 and 4 GHz, whose ticks are counted from [`Instant`] zero.
#[derive(Clone, Copy)]
pub(crate) struct Hertz(pub(crate) u64);

impl Hertz {
    /// Whole ticks that have passed at `now`. No rounding adds up: the whole seconds are exact.
    #[inline]
    pub(crate) const fn ticks_at(self, now: Instant) -> u64 {
        let (s, ns) = (now.as_ns() / NS_PER_S, now.as_ns() % NS_PER_S);
        // Below 2^64: ns and the frequency are below 2^32 each.
        s.wrapping_mul(self.0).wrapping_add(ns * self.0 / NS_PER_S)
    }

    /// The first instant at which `ticks` ticks have passed; the end of time when that lies past it.
    pub(crate) const fn instant_of(self, ticks: u64) -> Instant {
        let (s, rest) = (ticks / self.0, ticks % self.0);
        let ns = (rest * NS_PER_S).div_ceil(self.0);
        match s.checked_mul(NS_PER_S) {
            Some(whole) => Instant::from_ns(whole.saturating_add(ns)),
            None => Instant::from_ns(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instant_of_a_tick_is_the_first_with_that_tick() {
        for hertz in [1_193_182, 3_579_545, 32_768, 100_000_000] {
            let frequency = Hertz(hertz);
            for ticks in [0, 1, 2, 1000, 86_400 * hertz * 365 + 17] {
                let at = frequency.instant_of(ticks);
                assert_eq!(frequency.ticks_at(at), ticks);
                if ticks > 0 {
                    let before = Instant::from_ns(at.as_ns() - 1);
                    assert_eq!(frequency.ticks_at(before), ticks - 1);
                }
            }
        }
    }

    #[test]
    fn the_end_of_time_is_no_problem() {
        let _ = Hertz(3_999_999_999).ticks_at(Instant::from_ns(u64::MAX));
        assert_eq!(Hertz(1).instant_of(u64::MAX), Instant::from_ns(u64::MAX));
    }
}
