//! Idle time of a physical CPU: written by that CPU, read by any.

use core::sync::atomic::{AtomicU64, Ordering};
use time::Instant;

/// One word, so that a reader, while an idle time begins or ends, never counts it twice or not at
/// all.
#[derive(Debug, Default)]
pub(crate) struct Load(AtomicU64);

/// The CPU idles: the rest of the word is when it would have begun to if it had never done anything else. Otherwise the word is how
/// long it idled.
const IDLES: u64 = 1 << 63;

impl Load {
    /// The CPU begins to idle. Its own loop only.
    pub(crate) fn begin(&self, now: Instant) {
        let idled_ns = self.0.load(Ordering::Relaxed) & !IDLES;
        let since = now.as_ns().saturating_sub(idled_ns) & !IDLES;
        self.0.store(IDLES | since, Ordering::Relaxed);
    }

    /// The CPU goes on. Its own loop only.
    pub(crate) fn end(&self, now: Instant) {
        self.0.store(self.idle_ns(now) & !IDLES, Ordering::Relaxed);
    }

    /// Returns how long it has idled in all, in ns.
    pub(crate) fn idle_ns(&self, now: Instant) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        if word & IDLES == 0 {
            word
        } else {
            now.as_ns().saturating_sub(word & !IDLES)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_ns;

    #[test]
    fn idle_times_add_up_while_they_last_and_afterwards() {
        let load = Load::default();
        assert_eq!(load.idle_ns(AT(100)), 0);
        load.begin(AT(100));
        assert_eq!(load.idle_ns(AT(150)), 50);
        load.end(AT(160));
        assert_eq!(load.idle_ns(AT(900)), 60);
        load.begin(AT(1_000));
        assert_eq!(load.idle_ns(AT(1_001)), 61);
        load.end(AT(1_010));
        assert_eq!(load.idle_ns(AT(5_000)), 70);
    }
}
