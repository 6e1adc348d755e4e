//! A line that a test raises.

use core::cell::Cell;

use crate::IrqLine;

/// A level-triggered line: the CPU is interrupted while it is high and let through.
///
/// As on metal, it lets nothing through after an interrupt until that is acknowledged.
#[derive(Debug, Default)]
pub struct TestLine {
    is_high: Cell<bool>,
    is_enabled: Cell<bool>,
    is_in_service: Cell<bool>,
}

impl TestLine {
    /// A line that is low and masked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the level, as the device does.
    pub fn set_level(&self, is_high: bool) {
        self.is_high.set(is_high);
    }

    /// Returns whether the driver lets interrupts through.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled.get()
    }

    /// Takes the interrupt that is there, as the CPU does; returns false when there is none.
    pub fn take_interrupt(&self) -> bool {
        let is_there = self.is_high.get() && self.is_enabled.get() && !self.is_in_service.get();
        if is_there {
            self.is_in_service.set(true);
        }
        is_there
    }
}

impl IrqLine for TestLine {
    fn enable(&self) {
        self.is_enabled.set(true);
    }

    fn mask(&self) {
        self.is_enabled.set(false);
    }

    fn acknowledge(&self) {
        self.is_in_service.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_interrupts_once_until_it_is_acknowledged() {
        let line = TestLine::new();
        line.set_level(true);
        assert!(!line.take_interrupt(), "it is masked at first");
        line.enable();
        assert!(line.take_interrupt());
        assert!(!line.take_interrupt());
        line.acknowledge();
        assert!(line.take_interrupt(), "the device was not served");
        line.set_level(false);
        line.acknowledge();
        assert!(!line.take_interrupt());
    }
}
