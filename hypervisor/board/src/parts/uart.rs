//! A serial port: the UART, its line, and what is typed at its far end.

use crate::bus::Overlap;
use crate::ends::SerialEnd;
use crate::line::Line;
use crate::maker::Maker;
use crate::slot::{Harness, Slot};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use chipset::Uart16550;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, Ordering};
use device::Device;
use spin::Mutex;

/// The most bytes of input kept for a guest that does not take them.
const MAX_TYPED_BYTES: usize = 256;

/// Holds the UART's line, and carries its bytes to the far end.
struct UartHarness {
    line: Line,
    /// None: the cable ends nowhere.
    end: Option<Arc<dyn SerialEnd>>,
    /// True if the guest is held back.
    is_held: AtomicBool,
}

impl UartHarness {
    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}

impl Harness<Uart16550> for UartHarness {
    fn after(&self, uart: &mut Uart16550) {
        // Held back, bytes stay in the FIFO, where the guest sees them.
        while !self.is_held() {
            let Some(byte) = uart.take_transmitted() else {
                break;
            };
            if self.end.as_ref().is_some_and(|end| end.put(byte)) {
                uart.set_backpressure(true);
                self.is_held.store(true, Ordering::Relaxed);
            }
        }
        self.line.set(uart.line());
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.line.gsi()]
    }

    fn restored(&self, uart: &mut Uart16550) {
        // Let go when the far end has room. A cable that ends nowhere holds no guest back.
        if self.end.is_none() {
            uart.set_backpressure(false);
        }
        self.is_held.store(uart.is_held_back(), Ordering::Relaxed);
    }
}

/// The operator's end of a serial port; what is typed waits here until the guest takes it.
pub struct SerialPort {
    slot: Arc<Slot<Uart16550, UartHarness>>,
    /// Input that was typed and for which its guest had no room yet. Lock order: this, then the
    /// slot.
    typed: Mutex<VecDeque<u8>>,
}

impl SerialPort {
    /// Adds a byte for the guest behind those that wait. Returns false, and takes nothing, when too
    /// many do.
    pub fn type_byte(&self, byte: u8) -> bool {
        let mut typed = self.typed.lock();
        if typed.len() == MAX_TYPED_BYTES {
            return false;
        }
        typed.push_back(byte);
        true
    }

    /// Returns whether something that was typed waits for the guest.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.typed.lock().is_empty()
    }

    /// Gives the guest as much of what was typed as it has room for.
    pub fn hand_over(&self) {
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

    /// Lets the guest print on: the far end has room again.
    pub fn release(&self) {
        let is_held = &self.slot.harness().is_held;
        if is_held.load(Ordering::Relaxed) {
            self.slot.with(|uart| {
                is_held.store(false, Ordering::Relaxed);
                uart.set_backpressure(false);
            });
        }
    }
}

/// Puts a serial port on the board, at `ports` and ISA line `irq`. Without an `end` its cable ends
/// nowhere.
pub(crate) fn install(
    pc: &mut Maker,
    name: &'static str,
    ports: RangeInclusive<u16>,
    irq: u8,
    end: Option<Arc<dyn SerialEnd>>,
) -> Result<SerialPort, Overlap> {
    let harness = UartHarness {
        line: pc.isa_line(irq),
        end,
        is_held: AtomicBool::new(false),
    };
    let slot = pc.slot(name, Uart16550::new(), harness);
    let base = *ports.start();
    pc.ports(ports, base, slot.clone())?;
    Ok(SerialPort {
        slot,
        typed: Mutex::new(VecDeque::with_capacity(MAX_TYPED_BYTES)),
    })
}
