//! Interrupts through a local APIC: accepted into IRR, taken into ISR, ended.
//!
//! Follows Intel SDM vol. 3A 11.8.

use super::{ERROR_RECEIVE_VECTOR, LVT_ERROR, LVT_MASKED, LocalApic};
use crate::message::Trigger;
use x86::Vector;

/// Vectors below this are exceptions' and no interrupt may have them.
const FIRST_LEGAL: u8 = 16;

/// Summary of what waits and what is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingSummary {
    /// The highest vector requested, whether or not its priority suffices.
    pub highest_requested: Option<Vector>,
    /// The highest vector in service.
    pub highest_in_service: Option<Vector>,
    /// PPR.
    pub processor_priority: u8,
}

impl LocalApic {
    /// Takes an interrupt into IRR. Returns whether it was new there.
    ///
    /// Refused while the local APIC is off by IA32_APIC_BASE or SVR. A vector below 16 becomes an error in ESR.
    #[inline]
    pub fn accept(&mut self, vector: Vector, trigger: Trigger) -> bool {
        if !self.is_enabled() {
            return false;
        }
        if vector.0 < FIRST_LEGAL {
            self.raise_error(ERROR_RECEIVE_VECTOR);
            return false;
        }
        let is_new = !self.irr.contains(vector.0);
        self.irr.insert(vector.0);
        match trigger {
            Trigger::Edge => self.tmr.remove(vector.0),
            Trigger::Level => self.tmr.insert(vector.0),
        }
        is_new
    }

    /// The interrupt to inject now: highest in IRR, if its class lies above the processor's priority.
    #[must_use]
    #[inline]
    pub fn highest_ready(&self) -> Option<Vector> {
        let top = self.irr.top();
        // A class is never above itself, so an empty IRR (0) is not ready either.
        let floor = (self.tpr >> 4).max(self.isr.top() >> 4);
        if top >> 4 > floor && self.is_present() {
            Some(Vector(top))
        } else {
            None
        }
    }

    /// The highest interrupt in IRR that only waits for a lower task priority, for CR8 windows.
    #[must_use]
    pub fn highest_held_by_task_priority(&self) -> Option<Vector> {
        let top = self.irr.top();
        let is_held = top >> 4 > self.isr.top() >> 4 && top >> 4 <= self.tpr >> 4;
        (is_held && self.is_present()).then_some(Vector(top))
    }

    /// The CPU takes `vector`: from IRR to ISR. A vector that is not requested is left alone.
    #[inline]
    pub fn acknowledge(&mut self, vector: Vector) {
        if self.irr.contains(vector.0) {
            self.irr.remove(vector.0);
            self.isr.insert(vector.0);
        }
    }

    /// Takes the vector of a level interrupt that was ended and whose EOI goes to the IOAPICs. To be asked after every write.
    #[inline]
    pub fn take_eoi(&mut self) -> Option<Vector> {
        self.eoi.take()
    }

    /// Returns what waits and what is being served.
    #[must_use]
    pub fn pending_summary(&self) -> PendingSummary {
        let some = |top: u8| (top != 0).then_some(Vector(top));
        PendingSummary {
            highest_requested: some(self.irr.top()),
            highest_in_service: some(self.isr.top()),
            processor_priority: self.processor_priority(),
        }
    }

    /// CR8: the task priority class, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn task_priority(&self) -> u8 {
        self.tpr >> 4
    }

    /// Sets the task priority class as a write to CR8 does. An unchanged class keeps TPR's lower half.
    #[inline]
    pub const fn set_task_priority(&mut self, class: u8) {
        if self.tpr >> 4 != class & 0xf {
            self.tpr = class << 4;
        }
    }

    /// PPR. (Intel SDM vol. 3A 11.8.3.1)
    pub(super) const fn processor_priority(&self) -> u8 {
        let serving = self.isr.top() & 0xf0;
        if self.tpr >> 4 >= serving >> 4 {
            self.tpr
        } else {
            serving
        }
    }

    /// A write to the EOI register.
    #[inline]
    pub(super) fn end_of_interrupt(&mut self) {
        let vector = self.isr.top();
        if vector == 0 {
            return;
        }
        self.isr.remove(vector);
        if self.tmr.contains(vector) {
            self.eoi = Some(Vector(vector));
        }
    }

    /// Notes an error for ESR and raises the error interrupt. (Intel SDM vol. 3A 11.5.3)
    pub(super) fn raise_error(&mut self, bit: u32) {
        // The interrupt comes with the first error of a kind, or an illegal error vector would raise itself.
        let is_new = self.errors & bit == 0;
        self.errors |= bit;
        if is_new {
            self.raise_lvt(LVT_ERROR);
        }
    }

    /// Raises the fixed interrupt of a local source, if it is not masked.
    pub(super) fn raise_lvt(&mut self, entry: usize) {
        let Some(lvt) = self.lvt.get(entry).copied() else {
            return;
        };
        if lvt & LVT_MASKED == 0 {
            self.accept(Vector(lvt as u8), Trigger::Edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::enabled;
    use super::*;

    #[test]
    fn nothing_is_ready_in_an_empty_apic() {
        assert_eq!(enabled().highest_ready(), None);
    }

    #[test]
    fn the_higher_class_interrupts_the_lower_and_not_its_own() {
        let mut apic = enabled();
        apic.accept(Vector(0x41), Trigger::Edge);
        assert_eq!(apic.highest_ready(), Some(Vector(0x41)));
        apic.acknowledge(Vector(0x41));
        apic.accept(Vector(0x42), Trigger::Edge);
        assert_eq!(apic.highest_ready(), None);
        apic.accept(Vector(0x51), Trigger::Edge);
        assert_eq!(apic.highest_ready(), Some(Vector(0x51)));
        apic.end_of_interrupt();
        apic.acknowledge(Vector(0x51));
        apic.end_of_interrupt();
        assert_eq!(apic.highest_ready(), Some(Vector(0x42)));
    }

    #[test]
    fn only_level_interrupts_send_their_eoi_on() {
        let mut apic = enabled();
        for (trigger, eoi) in [(Trigger::Level, Some(Vector(0x61))), (Trigger::Edge, None)] {
            apic.accept(Vector(0x61), trigger);
            apic.acknowledge(Vector(0x61));
            apic.end_of_interrupt();
            assert_eq!(apic.take_eoi(), eoi);
            assert_eq!(apic.take_eoi(), None);
        }
    }

    #[test]
    fn task_priority_holds_back_its_class_and_those_below() {
        let mut apic = enabled();
        apic.accept(Vector(0x41), Trigger::Edge);
        apic.set_task_priority(4);
        assert_eq!(apic.highest_ready(), None);
        assert_eq!(apic.highest_held_by_task_priority(), Some(Vector(0x41)));
        apic.set_task_priority(3);
        assert_eq!(apic.highest_ready(), Some(Vector(0x41)));
    }

    #[test]
    fn an_illegal_vector_is_an_error_even_when_the_error_vector_is_one() {
        let mut apic = enabled();
        apic.lvt[LVT_ERROR] = 3;
        assert!(!apic.accept(Vector(5), Trigger::Edge));
        assert_eq!(apic.errors, ERROR_RECEIVE_VECTOR);
    }
}
