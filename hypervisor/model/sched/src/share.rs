//! Share of its CPUs that a VM may have: its weight and its cap, and what of the cap is used up.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use time::Instant;

/// The weight of a VM that names none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// The largest weight.
pub const MAX_WEIGHT: u32 = 10_000;

/// Unused allowance of a capped VM that is kept for a burst, as the time in which it accrues.
const BURST_NS: u64 = 50_000_000;
/// Time for which a capped VM runs at a time, as the time in which that accrues; bounded by a slice
/// above and by this below.
const QUANTUM_PERIOD_NS: u64 = 50_000_000;
const MIN_QUANTUM_NS: u64 = 500_000;

/// No cap.
const UNCAPPED: u32 = 0;

/// One VM's share, common to all its vCPUs on whatever physical CPUs: atomics, so that no CPU waits for another one.
///
/// The cap is kept as a debt in time: a VM that ran for 1 ms under a cap of 25 % has paid for it 4
/// ms later, and does not run before that. Each home adds what its vCPUs ran when their turns end,
/// so that all of them together keep the cap, however many run at once; what they run too much in
/// one go, they wait for afterwards.
#[derive(Debug)]
pub struct Share {
    weight: AtomicU32,
    cap_percent: AtomicU32,
    paid_at_ns: AtomicU64,
}

impl Default for Share {
    fn default() -> Self {
        Self::new(DEFAULT_WEIGHT, None)
    }
}

impl Share {
    /// A share of this weight, 1 to [`MAX_WEIGHT`], and with this cap in percent of one CPU.
    #[must_use]
    pub fn new(weight: u32, cap_percent: Option<u32>) -> Self {
        let share = Self {
            weight: AtomicU32::new(DEFAULT_WEIGHT),
            cap_percent: AtomicU32::new(UNCAPPED),
            paid_at_ns: AtomicU64::new(0),
        };
        share.set_weight(weight);
        share.set_cap(cap_percent);
        share
    }

    /// The weight of each vCPU against others that want the same CPU.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Changes the weight, from the next turn on; what lies outside 1 to [`MAX_WEIGHT`] becomes the nearest.
    pub fn set_weight(&self, weight: u32) {
        let weight = weight.clamp(1, MAX_WEIGHT);
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Returns the most that all vCPUs together may use, in percent of one CPU.
    #[must_use]
    pub fn cap(&self) -> Option<u32> {
        match self.cap_percent.load(Ordering::Relaxed) {
            UNCAPPED => None,
            percent => Some(percent),
        }
    }

    /// Changes the cap, from the next turn on; 0 becomes 1.
    pub fn set_cap(&self, percent: Option<u32>) {
        let percent = percent.map_or(UNCAPPED, |percent| percent.max(1));
        self.cap_percent.store(percent, Ordering::Relaxed);
        // An old debt counts for nothing under a new cap.
        self.paid_at_ns.store(0, Ordering::Relaxed);
    }

    /// When the VM may run again, if its cap forbids it now.
    #[must_use]
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        self.cap()?;
        let at = Instant::from_ns(self.paid_at_ns.load(Ordering::Relaxed));
        (at > now).then_some(at)
    }

    /// Adds what a vCPU ran from `since` on to what the cap allows.
    pub(crate) fn charge(&self, since: Instant, ran_ns: u64) {
        let Some(percent) = self.cap() else {
            return;
        };
        let costs_ns = ran_ns.saturating_mul(100) / u64::from(percent);
        let earliest = since.as_ns().saturating_sub(BURST_NS);
        // No loop that others can prolong: an addition, and before it a store that only raises what lies too far back.
        self.paid_at_ns.fetch_max(earliest, Ordering::Relaxed);
        self.paid_at_ns.fetch_add(costs_ns, Ordering::Relaxed);
    }

    /// Returns the longest time for which a vCPU runs before it is charged.
    pub(crate) fn quantum_ns(&self) -> Option<u64> {
        let accrued = QUANTUM_PERIOD_NS.saturating_mul(self.cap()?.into()) / 100;
        Some(accrued.clamp(MIN_QUANTUM_NS, crate::SLICE_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_ns;
    const MS: u64 = 1_000_000;

    #[test]
    fn a_debt_is_paid_by_time() {
        let share = Share::new(100, Some(25));
        let start = AT(1_000 * MS);
        assert_eq!(share.held_until(start), None);
        share.charge(start, 20 * MS);
        // 80 ms, of which 50 had been saved up.
        let free = AT(1_030 * MS);
        assert_eq!(share.held_until(AT(1_020 * MS)), Some(free));
        assert_eq!(share.held_until(free), None);
    }

    #[test]
    fn without_a_cap_nothing_is_owed() {
        let share = Share::default();
        share.charge(AT(0), u64::MAX);
        assert_eq!(share.held_until(AT(1)), None);
        assert_eq!(share.quantum_ns(), None);
    }

    #[test]
    fn a_new_cap_forgets_the_debt_under_the_old_one() {
        let share = Share::new(100, Some(1));
        share.charge(AT(0), 1_000 * MS);
        assert!(share.held_until(AT(1_000 * MS)).is_some());
        share.set_cap(Some(50));
        assert_eq!(share.held_until(AT(1_000 * MS)), None);
    }

    #[test]
    fn what_lies_outside_becomes_the_nearest() {
        assert_eq!(Share::new(0, Some(0)).weight(), 1);
        assert_eq!(Share::new(u32::MAX, None).weight(), MAX_WEIGHT);
        assert_eq!(Share::new(1, Some(0)).cap(), Some(1));
    }
}
