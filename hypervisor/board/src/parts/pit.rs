//! The interval timer, its ticks to IRQ 0, and port 61h.

use crate::bus::Overlap;
use crate::line::Line;
use crate::maker::Maker;
use crate::parts::hpet::LegacyReplacement;
use crate::slot::Harness;
use alloc::vec;
use alloc::vec::Vec;
use chipset::Pit;
use device::Device;
use pc_map::{lines, ports};

/// Sends the PIT's ticks to IRQ 0.
struct PitHarness {
    line: Line,
    replaced: LegacyReplacement,
}

impl Harness<Pit> for PitHarness {
    fn after(&self, pit: &mut Pit) {
        while pit.take_pulse() {
            if !self.replaced.is_on() {
                self.line.pulse();
            }
        }
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.line.gsi()]
    }
}

/// Puts the PIT on the board.
pub(crate) fn install(pc: &mut Maker, replaced: &LegacyReplacement) -> Result<(), Overlap> {
    let harness = PitHarness {
        // IRQ 0 is at pin 2 of the IOAPIC, as the MADT says.
        line: pc.line(Some(lines::PIT_IRQ), lines::PIT),
        replaced: replaced.clone(),
    };
    let pit = pc.slot("pit", Pit::new(), harness);
    pc.ports(ports::PIT, 0, pit.clone())?;
    pc.ports(ports::NMI_CONTROL, 0, pit)
}
