//! Debug ports E9h and 402h: text, as whole lines of the VM.

use crate::bus::Overlap;
use crate::ends::TextEnd;
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use chipset::DebugPort;
use pc_map::ports;

/// Passes the text on.
struct DebugHarness {
    end: Arc<dyn TextEnd>,
}

impl Harness<DebugPort> for DebugHarness {
    fn after(&self, ports: &mut DebugPort) {
        while let Some(byte) = ports.take_byte() {
            self.end.put(byte);
        }
    }
}

/// Puts both ports on the board.
pub(crate) fn install(pc: &mut Maker, end: Arc<dyn TextEnd>) -> Result<(), Overlap> {
    let debug = pc.slot("debug", DebugPort::new(), DebugHarness { end });
    pc.ports(ports::DEBUG, 0, debug.clone())?;
    pc.ports(ports::FIRMWARE_LOG, 0, debug)
}
