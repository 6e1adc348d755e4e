//! The output that a VM may print while other output waits for a terminal.

use core::sync::atomic::{AtomicU32, Ordering};

/// The least that each VM may print in a round of the chores while output waits, so that each gets
/// somewhere.
const MIN_SHARE_BYTES: usize = 64;

/// The rest of one VM's share of the room for output that waits. Those who spend of it do so in
/// turn.
pub(crate) struct Allowance {
    left_bytes: AtomicU32,
}

impl Allowance {
    /// Allows so many bytes until it is renewed.
    pub(crate) const fn new(bytes: usize) -> Self {
        Self {
            left_bytes: AtomicU32::new(bytes as u32),
        }
    }

    /// Replaces it by the share of one of `count` VMs in `room_bytes`.
    pub(crate) fn renew(&self, room_bytes: usize, count: usize) {
        let share = (room_bytes / count.max(1)).max(MIN_SHARE_BYTES);
        self.left_bytes.store(share as u32, Ordering::Relaxed);
    }

    /// Takes so many bytes of it, or what there is. Returns whether something is left.
    #[inline]
    pub(crate) fn spend(&self, bytes: u32) -> bool {
        let left = self.left_bytes.load(Ordering::Relaxed);
        let left = left.saturating_sub(bytes);
        self.left_bytes.store(left, Ordering::Relaxed);
        left != 0
    }

    /// Returns whether nothing of it is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left_bytes.load(Ordering::Relaxed) == 0
    }
}
