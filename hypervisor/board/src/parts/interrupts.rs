//! The interrupt controllers: the PIC pair and the IOAPIC.

use crate::bus::Overlap;
use crate::fabric::{Cpus, Fabric, IoApicHarness, PicHarness};
use crate::maker::{Maker, SlotMaker};
use alloc::sync::Arc;
use chipset::{IoApic, PicPair};
use pc_map::{memory, ports};

/// Makes the controllers, to which all lines lead.
pub(crate) fn make(slots: &mut SlotMaker, cpus: Arc<Cpus>) -> Arc<Fabric> {
    let pic = slots.slot("pic", PicPair::new(), PicHarness::new(cpus.clone()));
    let ioapic = slots.slot("ioapic", IoApic::new(), IoApicHarness::new(cpus.clone()));
    Arc::new(Fabric::new(pic, ioapic, cpus))
}

/// Puts their registers on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<(), Overlap> {
    // It has registers in several places and sees whole port numbers: base 0.
    for ports in [ports::PIC_MASTER, ports::PIC_SLAVE, ports::ELCR] {
        pc.ports(ports, 0, pc.fabric.pic.clone())?;
    }
    pc.memory(memory::IO_APIC, pc.fabric.ioapic.clone())
}
