//! A deadline that other CPUs read and move.

use crate::Instant;
use core::sync::atomic::{AtomicU64, Ordering};

/// A point in time, or none, in one word that all CPUs may read and replace.
#[derive(Debug)]
pub struct Deadline {
    ns: AtomicU64,
}

/// There is none.
const NEVER: u64 = u64::MAX;

impl Deadline {
    /// No deadline.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            ns: AtomicU64::new(NEVER),
        }
    }

    /// Returns the deadline.
    #[must_use]
    pub fn get(&self) -> Option<Instant> {
        decode(self.ns.load(Ordering::SeqCst))
    }

    /// Replaces the deadline.
    pub fn set(&self, at: Option<Instant>) {
        self.ns.store(encode(at), Ordering::SeqCst);
    }

    /// Clears the deadline and returns what it was: to one caller only.
    pub fn take(&self) -> Option<Instant> {
        decode(self.ns.swap(NEVER, Ordering::SeqCst))
    }

    /// Replaces the deadline, for its only writer; returns whether it moved forward. Costs one load when nothing changes.
    pub fn bring(&self, at: Option<Instant>) -> bool {
        let new = encode(at);
        let old = self.ns.load(Ordering::Relaxed);
        if new != old {
            self.ns.store(new, Ordering::SeqCst);
        }
        new < old
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::none()
    }
}

fn encode(at: Option<Instant>) -> u64 {
    at.map_or(NEVER, Instant::as_ns)
}

fn decode(ns: u64) -> Option<Instant> {
    (ns != NEVER).then(|| Instant::from_ns(ns))
}

/// Returns the earlier of two deadlines.
#[must_use]
#[inline]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Option<Instant> = |ns| Some(Instant::from_ns(ns));

    #[test]
    fn a_deadline_is_taken_once() {
        let deadline = Deadline::none();
        assert_eq!(deadline.get(), None);
        deadline.set(AT(5));
        assert_eq!(deadline.get(), AT(5));
        assert_eq!(deadline.take(), AT(5));
        assert_eq!(deadline.take(), None);
    }

    #[test]
    fn only_a_move_forward_is_told() {
        let deadline = Deadline::none();
        assert!(deadline.bring(AT(9)));
        assert!(!deadline.bring(AT(9)));
        assert!(!deadline.bring(AT(10)));
        assert!(deadline.bring(AT(3)));
        assert!(!deadline.bring(None));
        assert_eq!(deadline.get(), None);
    }

    #[test]
    fn the_earliest_of_two_may_be_the_only_one() {
        assert_eq!(earliest(AT(1), AT(2)), AT(1));
        assert_eq!(earliest(None, AT(2)), AT(2));
        assert_eq!(earliest(AT(1), None), AT(1));
        assert_eq!(earliest(None, None), None);
    }
}
