//! COM1 as the console's chores see it: what is typed waits here until the guest takes it.

use crate::board::harness::UartHarness;
use crate::board::slot::Slot;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use chipset::Uart16550;
use host::Host;
use spin::Mutex;

/// The most bytes of input kept for a guest that does not take them.
const TYPED_BYTES: usize = 256;

/// The operator's end of COM1.
pub(crate) struct SerialPort<H: Host> {
    slot: Arc<Slot<Uart16550, UartHarness<H>>>,
    /// What was typed and its guest had no room for yet. Lock order: this, then the slot.
    typed: Mutex<VecDeque<u8>>,
}

impl<H: Host> SerialPort<H> {
    pub(crate) fn new(slot: Arc<Slot<Uart16550, UartHarness<H>>>) -> Self {
        Self {
            slot,
            typed: Mutex::new(VecDeque::with_capacity(TYPED_BYTES)),
        }
    }

    /// A byte for the guest, behind those that wait. Returns false, and takes nothing, when too many do.
    pub(crate) fn type_byte(&self, byte: u8) -> bool {
        let mut typed = self.typed.lock();
        if typed.len() == TYPED_BYTES {
            return false;
        }
        typed.push_back(byte);
        true
    }

    /// Whether something that was typed waits for the guest.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.typed.lock().is_empty()
    }

    /// Gives the guest as much of what was typed as it has room for.
    pub(crate) fn hand_over(&self) {
        let mut typed = self.typed.lock();
        while let Some(byte) = typed.front() {
            if !self.slot.with(|uart| uart.receive(*byte)) {
                return;
            }
            typed.pop_front();
        }
    }

    /// Drops what waits: it was typed for a guest that is no more.
    pub(crate) fn forget_typed(&self) {
        self.typed.lock().clear();
    }

    /// The console has room again.
    pub(crate) fn release(&self) {
        let harness = self.slot.harness();
        if harness.is_held() {
            self.slot.with(|uart| harness.let_go(uart));
        }
    }
}
