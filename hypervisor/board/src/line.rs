//! Interrupt lines: what a device holds, and the controllers' inputs behind it.

use crate::fabric::Fabric;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use device::Level;
use pc_map::lines;
use spin::Mutex;

/// One device's share of an interrupt line, which leads to a pin of the IOAPIC and, for ISA lines,
/// to an input of the PIC pair.
///
/// Several devices may share a line: an input is high as long as any of its holders is.
pub struct Line {
    fabric: Arc<Fabric>,
    irq: Option<u8>,
    pin: u8,
    is_high: AtomicBool,
}

impl Line {
    /// A share of the line to IOAPIC pin `pin` and PIC input `irq`, held low.
    pub(crate) fn new(fabric: &Arc<Fabric>, irq: Option<u8>, pin: u8) -> Self {
        Self {
            fabric: fabric.clone(),
            irq,
            pin,
            is_high: AtomicBool::new(false),
        }
    }

    /// Returns the line's number at the IOAPIC.
    #[must_use]
    pub fn gsi(&self) -> u8 {
        self.pin
    }

    /// Sets the level that this device holds. Costs one load when it holds that already.
    ///
    /// `is_high` needs no stronger order: a share belongs to one slot, and only its harness moves
    /// it, under the slot's lock.
    pub fn set(&self, level: Level) {
        if self.is_high.load(Ordering::Relaxed) != level.is_high() {
            self.is_high.store(level.is_high(), Ordering::Relaxed);
            if let Some(irq) = self.irq {
                self.fabric.hold_irq(irq, level);
            }
            self.fabric.hold_pin(self.pin, level);
        }
    }

    /// Sends one edge down the line.
    pub fn pulse(&self) {
        if let Some(irq) = self.irq {
            self.fabric.pic.with(|pic| pic.pulse(irq));
        }
        self.fabric.ioapic.with(|ioapic| ioapic.pulse(self.pin));
    }
}

/// The interrupt pin of a PCI function: a share of the PIRQ that its device and pin lead to. It is
/// low while the guest has switched INTx off in the command register.
pub struct IntxLine {
    fabric: Arc<Fabric>,
    pirq: u8,
    state: Mutex<Intx>,
}

#[derive(Default)]
struct Intx {
    is_asserted: bool,
    is_enabled: bool,
    is_high: bool,
}

impl IntxLine {
    /// The line of pin `pin`, 0 for INTA#, of PCI device `device` on bus 0.
    pub(crate) fn new(fabric: &Arc<Fabric>, device: u8, pin: u8) -> Self {
        Self {
            fabric: fabric.clone(),
            // As the DSDT's _PRT says.
            pirq: lines::of_pci(device, pin) - lines::PCI_A,
            state: Mutex::default(),
        }
    }

    /// Returns the line's number at the IOAPIC.
    #[must_use]
    pub fn gsi(&self) -> u8 {
        lines::PCI_A + self.pirq
    }

    /// Sets whether the function asserts its pin. Its harness only.
    pub fn set(&self, level: Level) {
        self.change(|state| state.is_asserted = level.is_high());
    }

    /// Sets whether the guest lets the function assert its pin.
    pub(crate) fn set_enabled(&self, is_enabled: bool) {
        self.change(|state| state.is_enabled = is_enabled);
    }

    /// Lock order: a slot, then this, then the PIRQ.
    fn change(&self, change: impl FnOnce(&mut Intx)) {
        let mut state = self.state.lock();
        change(&mut state);
        let is_high = state.is_asserted && state.is_enabled;
        if state.is_high != is_high {
            state.is_high = is_high;
            self.fabric.hold_pirq(self.pirq, Level::when(is_high));
        }
    }
}
