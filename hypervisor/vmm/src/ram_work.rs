//! What has to be done to a VM's RAM before it can run, a piece at a time, so that it delays nobody else on its CPU for long.

use crate::vm::Vm;
use addr::{Gpa, GpaRange};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guest_memory::GuestMemory;
use host::Host;

/// How much is done in one turn of the loop: some tens of microseconds.
const PIECE_BYTES: u64 = 256 << 10;

/// RAM as it was allocated still holds what its last owner left; it is cleared by the CPU that is home to the VM's devices.
pub(crate) struct RamWork {
    is_done: AtomicBool,
    /// Bytes dealt with so far, over all ranges of the layout.
    done_bytes: AtomicU64,
}

impl RamWork {
    pub(crate) const fn new() -> Self {
        Self {
            is_done: AtomicBool::new(false),
            done_bytes: AtomicU64::new(0),
        }
    }

    /// Whether the RAM holds nothing any more that is not its VM's.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }
}

impl<H: Host> Vm<H> {
    /// Deals with the next piece. Its devices' home only.
    pub(crate) fn work_on_ram(&self) {
        let done = self.ram_work.done_bytes.load(Ordering::Relaxed);
        let ranges = self.layout.ram();
        match next_piece(&ranges, done) {
            Some((at, bytes)) => {
                let cleared = self.ram.fill(at, bytes, 0);
                debug_assert!(cleared.is_ok(), "the layout's ranges are backed");
                self.ram_work
                    .done_bytes
                    .store(done + bytes, Ordering::Relaxed);
            }
            None => self.ram_work.is_done.store(true, Ordering::Release),
        }
    }
}

/// The piece that follows the first `done` bytes of `ranges`.
fn next_piece(ranges: &[GpaRange], mut done: u64) -> Option<(Gpa, u64)> {
    for range in ranges {
        if done < range.len_bytes() {
            let at = range.start().wrapping_add(done);
            return Some((at, PIECE_BYTES.min(range.len_bytes() - done)));
        }
        done -= range.len_bytes();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_pieces_cover_all_ranges_once() {
        let range = |start, bytes| GpaRange::new(Gpa::new(start), bytes).expect("no wrap");
        let ranges = [
            range(0, 0xa_0000),
            range(0x10_0000, PIECE_BYTES * 2 + 0x1000),
        ];
        let (mut done, mut pieces) = (0, Vec::new());
        while let Some((at, bytes)) = next_piece(&ranges, done) {
            pieces.push((at.raw(), bytes));
            done += bytes;
        }
        assert_eq!(
            pieces,
            [
                (0, 0x4_0000),
                (0x4_0000, 0x4_0000),
                (0x8_0000, 0x2_0000),
                (0x10_0000, 0x4_0000),
                (0x14_0000, 0x4_0000),
                (0x18_0000, 0x1000),
            ]
        );
    }
}
