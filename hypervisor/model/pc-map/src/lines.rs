//! Interrupt lines: inputs of the IOAPIC, and of the pair of interrupt controllers.
//!
//! A line of the ISA bus has the same number at both, apart from the timer's, whose place at the
//! controllers is [`PIT_IRQ`]; the MADT tells a guest so. (ACPI 6.5 5.2.12.5)

use crate::map;

/// Inputs of the IOAPIC.
pub const COUNT: u8 = 24;

map! {
    ALL: u8;

    /// The keyboard: ISA.
    KEYBOARD = 1;
    /// The interval timer, at the IOAPIC: IRQ 0 has been moved there.
    PIT = 2;
    /// The second serial port: ISA.
    COM2 = 3;
    /// The first serial port: ISA.
    COM1 = 4;
    /// The real-time clock: ISA.
    RTC = 8;
    /// The system control interrupt of ACPI: level, active high.
    SCI = 9;
    /// The mouse: ISA.
    MOUSE = 12;
    /// The first of the four lines that PCI interrupt pins share, all above the ISA bus.
    PCI_A = 16;
    /// The second.
    PCI_B = 17;
    /// The third.
    PCI_C = 18;
    /// The fourth.
    PCI_D = 19;
}

/// The interval timer, at the pair of interrupt controllers.
pub const PIT_IRQ: u8 = 0;
/// The second interrupt controller, at the first one.
pub const CASCADE_IRQ: u8 = 2;

const _: () = assert!(are_good(ALL));

/// Returns whether each line is an input of the IOAPIC, and above the one before.
const fn are_good(mut lines: &[(&str, u8)]) -> bool {
    while let [(_, first), rest @ ..] = lines {
        if *first >= COUNT {
            return false;
        }
        if let [(_, next), ..] = rest
            && *next <= *first
        {
            return false;
        }
        lines = rest;
    }
    true
}

/// Returns the line of a PCI function's interrupt pin; `pin` counts from 0 for INTA#. Active low for the
/// guest, as PCI demands.
#[must_use]
pub const fn of_pci(device: u8, pin: u8) -> u8 {
    PCI_A + (device.wrapping_add(pin) & 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_given_twice_or_beyond_the_inputs_is_found() {
        assert!(are_good(&[("a", 1), ("b", 23)]));
        assert!(!are_good(&[("a", 1), ("b", 1)]));
        assert!(!are_good(&[("a", 24)]));
    }

    #[test]
    fn pins_of_neighbours_lead_to_different_lines() {
        let lines = [0, 1, 2, 3].map(|device| of_pci(device, 0));
        assert_eq!(lines, [PCI_A, PCI_B, PCI_C, PCI_D]);
        assert_eq!(of_pci(31, 3), PCI_C);
    }
}
