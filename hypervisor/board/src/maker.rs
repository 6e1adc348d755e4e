//! Maker of a board, with which a part puts itself on it.

use crate::alarm::Alarm;
use crate::bell::Bell;
use crate::bus::{Bus, MmioTarget, Overlap, PioTarget, Region};
use crate::fabric::Fabric;
use crate::lifecycle::Lifecycle;
use crate::line::Line;
use crate::services::Services;
use crate::slot::{AnySlot, Harness, Slot};
use crate::vm_clock::VmClock;
use addr::GpaRange;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use device::Persist;

/// Makes slots and keeps a list of them.
pub(crate) struct SlotMaker {
    pub(crate) services: &'static dyn Services,
    pub(crate) home: Arc<Bell>,
    pub(crate) clock: Arc<VmClock>,
    pub(crate) slots: Vec<Arc<dyn AnySlot>>,
}

impl SlotMaker {
    /// Puts a device into a slot of its own.
    pub(crate) fn slot<D, W>(
        &mut self,
        name: &'static str,
        device: D,
        harness: W,
    ) -> Arc<Slot<D, W>>
    where
        D: Persist + 'static,
        W: Harness<D> + 'static,
    {
        let alarm = Alarm::new(self.services, self.clock.clone(), self.home.clone());
        let slot = Arc::new(Slot::new(name, device, harness, alarm));
        self.slots.push(slot.clone());
        slot
    }
}

/// A board that is being put together. Each part takes from it what it needs: slots, ports,
/// memory, lines.
pub(crate) struct Maker {
    pub(crate) slots: SlotMaker,
    pub(crate) bus: Arc<Bus>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) lifecycle: Arc<Lifecycle>,
}

impl Maker {
    /// Puts a device into a slot of its own.
    pub(crate) fn slot<D, W>(
        &mut self,
        name: &'static str,
        device: D,
        harness: W,
    ) -> Arc<Slot<D, W>>
    where
        D: Persist + 'static,
        W: Harness<D> + 'static,
    {
        self.slots.slot(name, device, harness)
    }

    /// Gives `ports` to a slot, which sees offsets from `base`.
    ///
    /// # Errors
    /// [`Overlap`] when a port is taken.
    pub(crate) fn ports(
        &mut self,
        ports: RangeInclusive<u16>,
        base: u16,
        slot: Arc<dyn PioTarget>,
    ) -> Result<(), Overlap> {
        self.bus.claim(|table| table.pio.claim(ports, base, slot))
    }

    /// Gives `range` of the guest's memory to a slot.
    ///
    /// # Errors
    /// [`Overlap`] when an address is taken.
    pub(crate) fn memory(
        &mut self,
        range: GpaRange,
        slot: Arc<dyn MmioTarget>,
    ) -> Result<(), Overlap> {
        self.bus.claim(|table| table.mmio.claim(range, slot))
    }

    /// A region of ports, not mapped yet, for which a slot answers.
    pub(crate) fn port_region(&self, slot: Arc<dyn PioTarget>) -> Region {
        self.bus.port_region(slot)
    }

    /// A region of memory, not mapped yet, for which a slot answers.
    pub(crate) fn memory_region(&self, slot: Arc<dyn MmioTarget>) -> Region {
        self.bus.memory_region(slot)
    }

    /// A share of an ISA line, whose number at the IOAPIC is the same as at the PIC pair.
    pub(crate) fn isa_line(&self, irq: u8) -> Line {
        self.line(Some(irq), irq)
    }

    /// A share of the line to IOAPIC pin `pin` and, if it is an ISA line, to PIC input `irq`.
    pub(crate) fn line(&self, irq: Option<u8>, pin: u8) -> Line {
        Line::new(&self.fabric, irq, pin)
    }

    /// The VM's life, for parts that end it.
    pub(crate) fn lifecycle(&self) -> Arc<Lifecycle> {
        self.lifecycle.clone()
    }
}
