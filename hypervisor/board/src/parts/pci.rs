//! The root of PCI, by ports and by memory-mapped configuration space.

use crate::bus::Overlap;
use crate::maker::Maker;
use crate::slot::Silent;
use guest_acpi::wiring;

/// Puts the host bridge and the LPC bridge on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<(), Overlap> {
    let root = pc.slot("pci", pci::q35(wiring::PM_BASE), Silent);
    pc.ports(0xcf8..=0xcf8, 0, root.clone())?;
    pc.ports(0xcfc..=0xcff, 0, root.clone())?;
    pc.memory(guest_boot::ECAM, root)
}
