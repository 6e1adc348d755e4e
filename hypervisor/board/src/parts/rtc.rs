//! The real-time clock with its CMOS memory, and IRQ 8.

use crate::bus::Overlap;
use crate::line::Line;
use crate::maker::Maker;
use crate::parts::hpet::LegacyReplacement;
use crate::slot::Harness;
use alloc::vec;
use alloc::vec::Vec;
use chipset::{CmosMemory, Rtc};
use device::{Device, Level};
use guest_boot::MemoryLayout;
use pc_map::{lines, ports};

/// Holds IRQ 8.
struct RtcHarness {
    line: Line,
    replaced: LegacyReplacement,
}

impl Harness<Rtc> for RtcHarness {
    fn after(&self, rtc: &mut Rtc) {
        // A replaced line is low, not left as it was: what follows the replacement would be no edge.
        let is_high = rtc.line().is_high() && !self.replaced.is_on();
        self.line.set(Level::when(is_high));
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.line.gsi()]
    }
}

/// Puts the clock on the board. `wall_clock` is in seconds since 1970 at the hypervisor's start.
pub(crate) fn install(
    pc: &mut Maker,
    wall_clock: u64,
    layout: &MemoryLayout,
    replaced: &LegacyReplacement,
) -> Result<(), Overlap> {
    let memory = CmosMemory {
        below_4g_bytes: layout.below_hole_end().raw(),
        above_4g_bytes: layout.end().raw().saturating_sub(4 << 30),
    };
    let harness = RtcHarness {
        line: pc.isa_line(lines::RTC),
        replaced: replaced.clone(),
    };
    let rtc = pc.slot("rtc", Rtc::new(wall_clock, memory), harness);
    pc.ports(ports::RTC, *ports::RTC.start(), rtc)
}
