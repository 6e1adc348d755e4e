//! The VGA adapter in its text modes. Its memory is RAM; only registers are here.

use crate::bus::Overlap;
use crate::maker::Maker;
use crate::slot::{Silent, Slot};
use alloc::sync::Arc;
use chipset::Vga;
use pc_map::ports;

/// The adapter in its slot, as whoever draws its picture sees it.
pub type VgaSlot = Slot<Vga, Silent>;

/// Puts the adapter on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<Arc<VgaSlot>, Overlap> {
    let vga = pc.slot("vga", Vga::new(), Silent);
    for ports in ports::VGA {
        pc.ports(ports, 0, vga.clone())?;
    }
    Ok(vga)
}
