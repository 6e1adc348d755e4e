//! The power-management block: SCI, power button, soft off, reset. (ACPI 6.5 4.8)

use crate::bus::Overlap;
use crate::lifecycle::{Lifecycle, StopReason};
use crate::line::Line;
use crate::maker::Maker;
use crate::slot::{Harness, Slot};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use chipset::{PowerManagement, PowerRequest};
use device::Device;
use pc_map::{lines, ports};

/// Holds the SCI, and carries out what the guest asks for.
struct PowerHarness {
    line: Line,
    lifecycle: Arc<Lifecycle>,
}

impl Harness<PowerManagement> for PowerHarness {
    fn after(&self, pm: &mut PowerManagement) {
        self.line.set(pm.line());
        match pm.take_request() {
            Some(PowerRequest::Off) => {
                self.lifecycle.end(StopReason::PowerOff);
            }
            Some(PowerRequest::Reset) => {
                self.lifecycle.end(StopReason::Reset("ACPI"));
            }
            None => {}
        }
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.line.gsi()]
    }
}

/// The operator's end of the power-management block.
pub struct PowerButton {
    slot: Arc<Slot<PowerManagement, PowerHarness>>,
}

impl PowerButton {
    /// Returns whether the guest has asked to hear of the button.
    #[must_use]
    pub fn is_heeded(&self) -> bool {
        self.slot.with(|pm| pm.heeds_power_button())
    }

    /// Presses the button, as a person does who wants the system to shut down.
    pub fn press(&self) {
        self.slot.with(PowerManagement::press_power_button);
    }
}

/// Puts the block on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<PowerButton, Overlap> {
    let harness = PowerHarness {
        line: pc.isa_line(lines::SCI),
        lifecycle: pc.lifecycle(),
    };
    let slot = pc.slot("pm", PowerManagement::new(false), harness);
    pc.ports(ports::PM, *ports::PM.start(), slot.clone())?;
    Ok(PowerButton { slot })
}
