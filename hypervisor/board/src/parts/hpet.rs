//! The HPET: its comparators, each to the pin it is routed to.

use crate::bus::Overlap;
use crate::line::Line;
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::{Hpet, HpetSignal};
use core::sync::atomic::{AtomicBool, Ordering};
use pc_map::{lines, memory};

/// Tells PIT and RTC whether the HPET has taken their interrupts. (IA-PC HPET specification 2.3.5,
/// LEG_RT_CNF)
#[derive(Clone, Default)]
pub(crate) struct LegacyReplacement(Arc<AtomicBool>);

impl LegacyReplacement {
    /// Returns whether it has.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Carries the comparators' signals to their pins.
struct HpetHarness {
    lines: Vec<Line>,
    replaced: LegacyReplacement,
}

impl Harness<Hpet> for HpetHarness {
    fn after(&self, hpet: &mut Hpet) {
        self.replaced
            .0
            .store(hpet.is_legacy_replacement(), Ordering::Relaxed);
        while let Some(event) = hpet.take_event() {
            let Some(line) = self.lines.get(usize::from(event.pin)) else {
                continue;
            };
            match event.signal {
                HpetSignal::Pulse => line.pulse(),
                HpetSignal::Hold(level) => line.set(level),
            }
        }
    }
}

/// Puts the HPET on the board.
pub(crate) fn install(pc: &mut Maker, replaced: &LegacyReplacement) -> Result<(), Overlap> {
    // With legacy replacement pins 2 and 8 stand for IRQ 0 and 8, which the PIC pair has as well.
    let irq = |pin| match pin {
        lines::PIT => Some(lines::PIT_IRQ),
        lines::RTC => Some(lines::RTC),
        _ => None,
    };
    let pins = 0..chipset::IOAPIC_PINS;
    let harness = HpetHarness {
        lines: pins.map(|pin| pc.line(irq(pin), pin)).collect(),
        replaced: replaced.clone(),
    };
    let hpet = pc.slot("hpet", Hpet::new(), harness);
    pc.memory(memory::HPET, hpet)
}
