//! One of the HPET's comparators.
//!
//! Follows the IA-PC HPET specification 1.0a, sections 2.3.8 and 2.3.9.

use crate::hpet::NS_PER_TICK;
use core::fmt;
use device::BadState;
use serde::{Deserialize, Serialize};

/// Ticks between two wakes, at least: 20 µs. A guest cannot have the alarm all to itself.
const MIN_WAKE_TICKS: u64 = 20_000 / NS_PER_TICK;

const LEVEL: u64 = 1 << 1;
const ENABLED: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
const SET_VALUE: u64 = 1 << 6;
const NARROW: u64 = 1 << 8;
/// Periodic, 64 bits wide.
const CAPABLE: u64 = 1 << 4 | 1 << 5;
/// IOAPIC pins 20 to 23.
const ROUTES: u64 = 0x00f0_0000;
/// Trigger, enable, type, set-value, 32-bit mode, route.
const WRITABLE: u64 = 0x3f4e;

/// A comparator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HpetTimer {
    config: u64,
    comparator: u64,
    period: u64,
}

/// Returns whether a configuration names a pin that a timer can be routed to, or none.
const fn is_routable(config: u64) -> bool {
    let route = config >> 9 & 0x1f;
    ROUTES >> route & 1 != 0 || route == 0
}

impl HpetTimer {
    /// Checks one that was saved.
    pub(crate) const fn check(&self) -> Result<(), BadState> {
        BadState::unless(
            self.config & !WRITABLE == 0 && is_routable(self.config),
            "a timer has reserved bits, or a route that is not there",
        )
    }

    pub(crate) const fn is_level(&self) -> bool {
        self.config & LEVEL != 0
    }

    pub(crate) const fn is_interrupting(&self) -> bool {
        self.config & ENABLED != 0
    }

    const fn is_periodic(&self) -> bool {
        self.config & PERIODIC != 0
    }

    /// IOAPIC pin.
    pub(crate) const fn route(&self) -> u8 {
        (self.config >> 9 & 0x1f) as u8
    }

    /// The bits that take part in comparing.
    const fn mask(&self) -> u64 {
        if self.config & NARROW != 0 {
            u32::MAX as u64
        } else {
            u64::MAX
        }
    }

    pub(crate) const fn register(&self, at: u64) -> Option<u64> {
        match at {
            0x00 => Some(self.config | CAPABLE | ROUTES << 32),
            0x08 => Some(self.comparator & self.mask()),
            _ => None,
        }
    }

    pub(crate) fn write(&mut self, at: u64, mask: u64, value: u64) {
        let merged = |old: u64| old & !mask | value & mask;
        match at {
            0x00 => {
                let config = merged(self.config) & WRITABLE;
                // A route that does not exist reads back as it was: that is how drivers find out.
                self.config = if is_routable(config) {
                    config
                } else {
                    config & !0x3e00 | self.config & 0x3e00
                };
            }
            0x08 => {
                if !self.is_periodic() || self.config & SET_VALUE != 0 {
                    self.comparator = merged(self.comparator);
                }
                if self.is_periodic() {
                    self.period = merged(self.period) & self.mask();
                }
                // The bit lasts for one write of the comparator; 64 bits may come as two halves, low half first.
                if mask & 0xffff_ffff == 0 || mask == u64::MAX || self.config & NARROW != 0 {
                    self.config &= !SET_VALUE;
                }
            }
            _ => {}
        }
    }

    /// Ticks from `counter` to the next match; a match right at `counter` has been.
    const fn distance(&self, counter: u64) -> u64 {
        let distance = self.comparator.wrapping_sub(counter) & self.mask();
        match (distance, self.config & NARROW != 0) {
            (0, true) => 1 << 32,
            (0, false) => u64::MAX,
            _ => distance,
        }
    }

    /// Ticks from `counter` until it makes sense to look again.
    pub(crate) fn ticks_to_wake(&self, counter: u64) -> u64 {
        let distance = self.distance(counter);
        if self.is_periodic() && self.period < MIN_WAKE_TICKS {
            distance.max(MIN_WAKE_TICKS)
        } else {
            distance
        }
    }

    /// Returns whether the counter matched on its way from `seen` to `counter`. A periodic
    /// comparator moves past the counter.
    pub(crate) fn advance(&mut self, seen: u64, counter: u64) -> bool {
        let passed = counter.wrapping_sub(seen);
        let distance = self.distance(seen);
        if passed < distance {
            return false;
        }
        if self.is_periodic() && self.period != 0 {
            let periods = (passed - distance) / self.period + 1;
            self.comparator = self
                .comparator
                .wrapping_add(periods.wrapping_mul(self.period))
                & self.mask();
        }
        true
    }
}

impl fmt::Display for HpetTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "config {:#x} comparator {:#x} period {:#x}",
            self.config, self.comparator, self.period
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_comparator_matches_once_a_wrap() {
        let mut timer = HpetTimer::default();
        timer.write(0, u64::MAX, NARROW);
        timer.write(8, u64::MAX, 100);
        assert!(!timer.advance(0x1_0000_0064, 0x2_0000_0063));
        assert!(timer.advance(0x2_0000_0063, 0x2_0000_0064));
    }

    #[test]
    fn set_value_lets_the_first_match_differ_from_the_period() {
        let mut timer = HpetTimer::default();
        timer.write(0, u64::MAX, PERIODIC | SET_VALUE);
        timer.write(8, u64::MAX, 1000);
        timer.write(8, u64::MAX, 300);
        assert_eq!(timer.register(8), Some(1000));
        assert!(timer.advance(0, 1000));
        assert_eq!(timer.register(8), Some(1300));
    }

    #[test]
    fn a_route_that_is_not_there_is_not_taken() {
        let mut timer = HpetTimer::default();
        timer.write(0, u64::MAX, 22 << 9);
        timer.write(0, u64::MAX, 5 << 9);
        assert_eq!(timer.route(), 22);
    }
}
