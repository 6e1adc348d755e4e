//! What has to be done to a VM's RAM before it can run, a piece at a time, so that it delays nobody else on its CPU for long.

use crate::saved::SavedVm;
use crate::vm::Vm;
use addr::{Gpa, GpaRange};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guest_memory::{GuestMemory, Unbacked};
use host::Host;
use spin::Mutex;

/// How much is done in one turn of the loop: some tens of microseconds.
const PIECE_BYTES: u64 = 256 << 10;
/// How much is on its way from one VM's RAM to another's.
const BUFFER_BYTES: usize = 4096;

/// RAM as it was allocated still holds what its last owner left. The CPU that is home to the VM's devices clears it, or fills it with what
/// a VM has that this one is a copy of.
pub(crate) struct RamWork<H: Host> {
    is_done: AtomicBool,
    /// Bytes dealt with so far, over all ranges of the layout.
    done_bytes: AtomicU64,
    /// Taken by the home and by the VM's maker, before it has one.
    original: Mutex<Option<Box<Original<H>>>>,
}

/// What a VM is to become a copy of.
pub(crate) struct Original<H: Host> {
    pub(crate) vm: Arc<Vm<H>>,
    /// Its state when it was paused.
    pub(crate) saved: SavedVm,
    /// Which stretch of its life that pause is in.
    stretch: u64,
    buffer: [u8; BUFFER_BYTES],
}

impl<H: Host> Original<H> {
    /// A paused VM and its state.
    pub(crate) fn new(vm: Arc<Vm<H>>, saved: SavedVm) -> Self {
        Self {
            stretch: vm.lifecycle().stretch(),
            vm,
            saved,
            buffer: [0; BUFFER_BYTES],
        }
    }

    /// Whether its RAM still is what belongs to its saved state.
    fn is_still(&self) -> bool {
        self.vm.lifecycle().stretch() == self.stretch
    }

    fn copy(&mut self, to: &H::Ram, at: Gpa, bytes: u64) -> Result<(), Unbacked> {
        let mut done = 0;
        while done < bytes {
            let len = (bytes - done).min(BUFFER_BYTES as u64);
            let buffer = &mut self.buffer[..len as usize];
            self.vm.ram.read(at.wrapping_add(done), buffer)?;
            to.write(at.wrapping_add(done), buffer)?;
            done += len;
        }
        Ok(())
    }
}

impl<H: Host> RamWork<H> {
    /// RAM to be cleared.
    pub(crate) const fn new(original: Option<Box<Original<H>>>) -> Self {
        Self {
            is_done: AtomicBool::new(false),
            done_bytes: AtomicU64::new(0),
            original: Mutex::new(original),
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
        let mut original = self.ram_work.original.lock();
        if original
            .as_ref()
            .is_some_and(|original| !original.is_still())
        {
            log::error!(
                "vm {}: stays empty: its original went on before it was copied",
                self.name()
            );
            *original = None;
            // From the start: what was copied so far is another VM's.
            self.ram_work.done_bytes.store(0, Ordering::Relaxed);
        }
        let done = self.ram_work.done_bytes.load(Ordering::Relaxed);
        let Some((at, bytes)) = next_piece(&self.layout.ram(), done) else {
            self.ram_work.is_done.store(true, Ordering::Release);
            let original = original.take();
            if let Some(original) = original {
                self.become_copy(&original);
            }
            return;
        };
        let dealt_with = match original.as_mut() {
            Some(original) => original.copy(&self.ram, at, bytes),
            None => self.ram.fill(at, bytes, 0),
        };
        debug_assert!(dealt_with.is_ok(), "both have the layout's ranges");
        self.ram_work
            .done_bytes
            .store(done + bytes, Ordering::Relaxed);
    }

    fn become_copy(&self, original: &Original<H>) {
        match self.restore(&original.saved) {
            Ok(()) => log::info!(
                "vm {}: a copy of {}, paused",
                self.name(),
                original.vm.name()
            ),
            Err(error) => log::error!("vm {}: {error}", self.name()),
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
