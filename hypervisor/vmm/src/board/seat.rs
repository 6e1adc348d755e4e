//! Where a person sits before a VM: its screen, and its keyboard with the codes that wait for it.

use crate::board::harness::ResetHarness;
use crate::board::slot::{Silent, Slot};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use chipset::{I8042, Vga};
use core::sync::atomic::{AtomicU32, Ordering};
use spin::Mutex;

/// The parts of a VM that a person sits before.
pub(crate) struct Seat {
    pub(crate) vga: Arc<Slot<Vga, Silent>>,
    keyboard: Arc<Slot<I8042, ResetHarness>>,
    /// Codes that the keyboard has no room for yet: those of a key or two. They stay with their VM, whoever looks at its screen.
    /// Lock order: this, then the keyboard's slot.
    codes: Mutex<VecDeque<u8>>,
    /// Counts the guests that sat down at the other side.
    life: AtomicU32,
}

impl Seat {
    pub(crate) fn new(
        vga: Arc<Slot<Vga, Silent>>,
        keyboard: Arc<Slot<I8042, ResetHarness>>,
    ) -> Self {
        Self {
            vga,
            keyboard,
            codes: Mutex::default(),
            life: AtomicU32::new(0),
        }
    }

    /// Another number for each of the VM's lives.
    pub(crate) fn life(&self) -> u32 {
        self.life.load(Ordering::SeqCst)
    }

    /// Adds codes of scan code set 2 behind those that wait.
    pub(crate) fn add(&self, add: impl FnOnce(&mut VecDeque<u8>)) {
        add(&mut self.codes.lock());
    }

    /// Gives the keyboard as many codes as it has room for. Returns whether none waits any more. Not to be called for a VM that is
    /// paused.
    pub(crate) fn hand_over(&self) -> bool {
        let mut codes = self.codes.lock();
        if codes.is_empty() {
            return true;
        }
        self.keyboard.with(|keyboard| {
            if !keyboard.is_scanning() {
                // As keys that are pressed while nobody scans them.
                codes.clear();
            }
            while codes.front().is_some_and(|code| keyboard.key(*code)) {
                codes.pop_front();
            }
        });
        codes.is_empty()
    }

    /// Drops what waits: it was typed for a guest that is no more.
    pub(crate) fn forget_typed(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.codes.lock().clear();
    }
}
