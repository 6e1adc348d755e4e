//! I/O ports.
//!
//! Fixed ports are those of the ICH9 datasheet, section 9.3.1 (fixed I/O ranges). What no PC chipset
//! has, debug ports, fw_cfg and pvpanic, lies where QEMU and Bochs have it.

use crate::map;
use core::ops::RangeInclusive;

map! {
    ALL: RangeInclusive<u16>;

    /// The first interrupt controller.
    PIC_MASTER = 0x20..=0x21;
    /// The interval timer: three counters and their control.
    PIT = 0x40..=0x43;
    /// The keyboard controller: data.
    KEYBOARD_DATA = 0x60..=0x60;
    /// NMI status and control: gate and output of the timer's third counter, the speaker.
    NMI_CONTROL = 0x61..=0x61;
    /// The keyboard controller: command and status.
    KEYBOARD_COMMAND = 0x64..=0x64;
    /// Index and data of the real-time clock and its memory.
    RTC = 0x70..=0x71;
    /// Fast reset and A20.
    FAST_RESET = 0x92..=0x92;
    /// The second interrupt controller.
    PIC_SLAVE = 0xa0..=0xa1;
    /// The debug port of Bochs and QEMU.
    DEBUG = 0xe9..=0xe9;
    /// Ends the VM with a code, as QEMU's isa-debug-exit does; only where the configuration wants it.
    EXIT = 0xf4..=0xf7;
    /// The second serial port.
    COM2 = 0x2f8..=0x2ff;
    /// VGA: index and data of the CRT controller, in the monochrome place.
    VGA_MONOCHROME_CRTC = 0x3b4..=0x3b5;
    /// VGA: input status 1, in the monochrome place.
    VGA_MONOCHROME_STATUS = 0x3ba..=0x3ba;
    /// VGA: attributes, sequencer, palette, graphics controller.
    VGA_REGISTERS = 0x3c0..=0x3cf;
    /// VGA: index and data of the CRT controller.
    VGA_CRTC = 0x3d4..=0x3d5;
    /// VGA: input status 1.
    VGA_STATUS = 0x3da..=0x3da;
    /// The first serial port.
    COM1 = 0x3f8..=0x3ff;
    /// The log of QEMU's firmware.
    FIRMWARE_LOG = 0x402..=0x402;
    /// Edge or level, for each input of the interrupt controllers.
    ELCR = 0x4d0..=0x4d1;
    /// pvpanic. (QEMU docs/specs/pvpanic.rst)
    PVPANIC = 0x505..=0x505;
    /// fw_cfg: selector, data, DMA address. (QEMU docs/specs/fw_cfg.rst)
    FW_CFG = 0x510..=0x51b;
    /// Power management. (ACPI 6.5 4.8) The LPC bridge's PMBASE says so.
    PM = 0x600..=0x63f;
    /// The address in PCI configuration space. (PCI Local Bus 3.0 3.2.2.3.2)
    PCI_ADDRESS = 0xcf8..=0xcf8;
    /// The reset control register, in the middle of PCI's ports.
    RESET = 0xcf9..=0xcf9;
    /// The data in PCI configuration space.
    PCI_DATA = 0xcfc..=0xcff;
}

/// All ports of the VGA adapter.
pub const VGA: [RangeInclusive<u16>; 5] = [
    VGA_MONOCHROME_CRTC,
    VGA_MONOCHROME_STATUS,
    VGA_REGISTERS,
    VGA_CRTC,
    VGA_STATUS,
];

const _: () = assert!(are_disjoint(ALL));

/// Returns whether none of the blocks is empty, and each begins behind the end of the one before.
const fn are_disjoint(mut blocks: &[(&str, RangeInclusive<u16>)]) -> bool {
    while let [(_, first), rest @ ..] = blocks {
        if *first.start() > *first.end() {
            return false;
        }
        if let [(_, next), ..] = rest
            && *next.start() <= *first.end()
        {
            return false;
        }
        blocks = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_port_or_an_empty_block_is_found() {
        assert!(are_disjoint(&[("a", 1..=2), ("b", 3..=3)]));
        assert!(!are_disjoint(&[("a", 1..=3), ("b", 3..=4)]));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is to be found")]
        let empty = 2..=1;
        assert!(!are_disjoint(&[("a", empty)]));
    }

    #[test]
    fn a_pc_finds_what_it_knows_by_heart() {
        let first = |name: &str| {
            let (_, ports) = ALL
                .iter()
                .find(|(other, _)| *other == name)
                .expect("a name");
            *ports.start()
        };
        assert_eq!(first("COM1"), 0x3f8);
        assert_eq!(first("RTC"), 0x70);
        assert_eq!(ALL.len(), 25);
    }
}
