//! pvpanic at port 505h: a guest's kernel tells whoever operates the machine that it has panicked.

use crate::bus::Overlap;
use crate::ends::EventEnd;
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use chipset::Pvpanic;
use pc_map::ports;

/// Passes the event on.
struct PvpanicHarness {
    end: Arc<dyn EventEnd>,
}

impl Harness<Pvpanic> for PvpanicHarness {
    fn after(&self, port: &mut Pvpanic) {
        while let Some(event) = port.take_event() {
            self.end.tell(event);
        }
    }
}

/// Puts the port on the board.
pub(crate) fn install(pc: &mut Maker, end: Arc<dyn EventEnd>) -> Result<(), Overlap> {
    let pvpanic = pc.slot("pvpanic", Pvpanic::default(), PvpanicHarness { end });
    pc.ports(ports::PVPANIC, *ports::PVPANIC.start(), pvpanic)
}
