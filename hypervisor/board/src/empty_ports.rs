//! Ports without a device that a guest has touched: each is worth one line of the log.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

/// A bit for each port.
pub struct EmptyPorts {
    reported: Box<[AtomicU64; 1024]>,
}

impl Default for EmptyPorts {
    fn default() -> Self {
        Self {
            reported: Box::new(core::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
}

impl EmptyPorts {
    /// Returns whether `port` was not reported before.
    #[inline]
    pub fn is_news(&self, port: u16) -> bool {
        let bit = 1 << (port & 63);
        self.reported
            .get(usize::from(port >> 6))
            .is_some_and(|word| word.load(Ordering::Relaxed) & bit == 0)
            && self.is_first(port)
    }

    /// Reports `port`; returns whether it was not reported before.
    #[cold]
    fn is_first(&self, port: u16) -> bool {
        let bit = 1 << (port & 63);
        self.reported
            .get(usize::from(port >> 6))
            .is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }
}
