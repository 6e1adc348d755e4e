//! The reset ports 92h and CF9h.

use crate::bus::Overlap;
use crate::lifecycle::{Lifecycle, StopReason};
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use chipset::ResetControl;
use pc_map::ports;

/// Resets the VM.
struct ResetHarness {
    lifecycle: Arc<Lifecycle>,
}

impl Harness<ResetControl> for ResetHarness {
    fn after(&self, ports: &mut ResetControl) {
        if ports.take_request().is_some() {
            self.lifecycle.end(StopReason::Reset("reset port"));
        }
    }
}

/// Puts the ports on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<(), Overlap> {
    let lifecycle = pc.lifecycle();
    let reset = pc.slot("reset", ResetControl::new(), ResetHarness { lifecycle });
    pc.ports(ports::FAST_RESET, 0, reset.clone())?;
    pc.ports(ports::RESET, 0, reset)
}
