//! The exit port F4h: ends the VM with a code.

use crate::bus::Overlap;
use crate::lifecycle::{Lifecycle, StopReason};
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use chipset::ExitPort;
use pc_map::ports;

/// Ends the VM.
struct ExitHarness {
    lifecycle: Arc<Lifecycle>,
}

impl Harness<ExitPort> for ExitHarness {
    fn after(&self, port: &mut ExitPort) {
        if let Some(code) = port.take_exit() {
            self.lifecycle.end(StopReason::ExitPort(code));
        }
    }
}

/// Puts the port on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<(), Overlap> {
    let lifecycle = pc.lifecycle();
    let exit = pc.slot("exit", ExitPort::new(), ExitHarness { lifecycle });
    pc.ports(ports::EXIT, 0, exit)
}
