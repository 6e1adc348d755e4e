//! The pair of 8259A interrupt controllers of a PC, cascaded at the master's IR2.
//!
//! Follows the 8259A datasheet (Intel order 231468), and the ICH datasheets for ELCR at 0x4D0/0x4D1. Ports are absolute:
//! 0x20/0x21, 0xA0/0xA1, 0x4D0/0x4D1. Where the chip differs from what the PC's software lives with: an edge stays latched
//! until it is acknowledged even if its line falls, and the cascade is a level, so a slave request never needs a new edge.

use crate::pic_chip::{CASCADE, Chip};
use device::{BadState, Device, Level, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};
use x86::Vector;

/// Lines that a guest may make level-triggered: not the timer, keyboard, cascade, RTC and FPU
/// lines.
const ELCR_WRITABLE: [u8; 2] = [0xf8, 0xde];

/// Master and slave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicPair {
    master: Chip,
    slave: Chip,
}

impl Default for PicPair {
    fn default() -> Self {
        Self::new()
    }
}

impl PicPair {
    /// Both chips as after power-on, their lines low.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            master: Chip::new(),
            slave: Chip::new(),
        }
    }

    /// Sets the level of the line of `irq`, 0 to 15. IRQ 2 is the cascade and cannot be set.
    pub fn set_line(&mut self, irq: u8, level: Level) {
        match irq {
            CASCADE => {}
            0..8 => self.master.set_line(irq, level),
            8..16 => self.slave.set_line(irq - 8, level),
            _ => {}
        }
    }

    /// One tick on the line of `irq`: an edge, unless the line is a level or is already high.
    pub fn pulse(&mut self, irq: u8) {
        let chip = match irq {
            CASCADE => return,
            0..8 => &mut self.master,
            8..16 => &mut self.slave,
            _ => return,
        };
        let bit = 1 << (irq & 7);
        chip.latched |= bit & !chip.levels();
    }

    fn cascade(&self) -> u8 {
        u8::from(self.slave.pending(0).is_some()) << CASCADE
    }

    /// INTR: whether the CPU (or the local APIC's LINT0) is asked.
    #[must_use]
    pub fn output(&self) -> Level {
        Level::when(self.master.pending(self.cascade()).is_some())
    }

    /// The CPU's INTA cycles: takes the highest request and names its vector.
    ///
    /// When the request has gone meanwhile, the answer is the spurious IRQ 7, which is not in service afterwards.
    pub fn acknowledge(&mut self) -> Vector {
        match self.master.pending(self.cascade()) {
            Some(CASCADE) => {
                self.master.acknowledge(CASCADE);
                let ir = match self.slave.pending(0) {
                    Some(ir) => {
                        self.slave.acknowledge(ir);
                        ir
                    }
                    // Spurious IRQ 15: the master holds its cascade in service, the slave nothing.
                    None => 7,
                };
                Vector(self.slave.base | ir)
            }
            Some(ir) => {
                self.master.acknowledge(ir);
                Vector(self.master.base | ir)
            }
            None => Vector(self.master.base | 7),
        }
    }
}

/// Both chips without the levels of their lines.
#[derive(Serialize, Deserialize)]
pub struct PicPairState {
    master: Chip,
    slave: Chip,
}

impl State for PicPairState {}

impl Persist for PicPair {
    type State = PicPairState;

    fn state(&self) -> PicPairState {
        let Self { master, slave } = self.clone();
        PicPairState { master, slave }
    }

    fn set_state(&mut self, state: PicPairState) -> Result<(), BadState> {
        let PicPairState { master, slave } = state;
        master.check(ELCR_WRITABLE[0])?;
        slave.check(ELCR_WRITABLE[1])?;
        BadState::unless(
            master.latched & 1 << CASCADE == 0,
            "an edge is latched at the cascade",
        )?;
        self.master.take_over(master);
        self.slave.take_over(slave);
        Ok(())
    }
}

impl Device for PicPair {
    fn reset(&mut self) {
        let Self { master, slave } = self;
        master.reset();
        slave.reset();
    }

    fn line(&self) -> Level {
        self.output()
    }

    fn inspect(&self, page: &mut Page<'_>) {
        for (name, chip, cascade) in [
            ("master", &self.master, self.cascade()),
            ("slave", &self.slave, 0),
        ] {
            page.line(
                name,
                format_args!(
                    "irr {:08b} isr {:08b} imr {:08b} elcr {:08b} base {:#04x}",
                    chip.requests(cascade),
                    chip.in_service,
                    chip.mask,
                    chip.elcr,
                    chip.base
                ),
            );
        }
        page.line("intr", format_args!("{:?}", self.output()));
    }
}

impl PioDevice for PicPair {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let cascade = self.cascade();
        let value = match at {
            0x20 => self.master.read_even(cascade),
            0x21 => self.master.read_odd(cascade),
            0xa0 => self.slave.read_even(0),
            0xa1 => self.slave.read_odd(0),
            0x4d0 => self.master.elcr,
            0x4d1 => self.slave.elcr,
            _ => return Err(Refused::NoRegister),
        };
        Ok(u32::from(value))
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let value = value as u8;
        match at {
            0x20 => self.master.write_even(value),
            0x21 => self.master.write_odd(value),
            0xa0 => self.slave.write_even(value),
            0xa1 => self.slave.write_odd(value),
            0x4d0 => self.master.elcr = value & ELCR_WRITABLE[0],
            0x4d1 => self.slave.elcr = value & ELCR_WRITABLE[1],
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initialized() -> PicPair {
        let mut pic = PicPair::new();
        for (port, value) in [
            (0x20, 0x11),
            (0x21, 0x20),
            (0x21, 4),
            (0x21, 1),
            (0xa0, 0x11),
            (0xa1, 0x28),
            (0xa1, 2),
            (0xa1, 1),
            (0x21, 0),
            (0xa1, 0),
        ] {
            write(&mut pic, port, value);
        }
        pic
    }

    fn write(pic: &mut PicPair, port: u16, value: u8) {
        pic.write(port, Width::Byte, u32::from(value))
            .expect("a port");
    }

    fn read(pic: &mut PicPair, port: u16) -> u32 {
        pic.read(port, Width::Byte).expect("a port")
    }

    #[test]
    fn an_edge_is_acknowledged_once_and_waits_for_its_eoi() {
        let mut pic = initialized();
        pic.set_line(4, Level::High);
        assert_eq!(pic.output(), Level::High);
        assert_eq!(pic.acknowledge(), Vector(0x24));
        assert_eq!(pic.output(), Level::Low);
        pic.set_line(4, Level::Low);
        pic.set_line(4, Level::High);
        assert_eq!(pic.output(), Level::Low);
        write(&mut pic, 0x20, 0x20);
        assert_eq!(pic.output(), Level::High);
    }

    #[test]
    fn a_higher_priority_interrupts_a_lower_one_through_the_cascade() {
        let mut pic = initialized();
        pic.pulse(12);
        assert_eq!(pic.acknowledge(), Vector(0x2c));
        pic.pulse(5);
        assert_eq!(pic.output(), Level::Low);
        pic.pulse(0);
        assert_eq!(pic.acknowledge(), Vector(0x20));
        write(&mut pic, 0x20, 0x20);
        write(&mut pic, 0xa0, 0x20);
        write(&mut pic, 0x20, 0x20);
        assert_eq!(pic.acknowledge(), Vector(0x25));
    }

    #[test]
    fn a_request_that_is_gone_is_spurious_and_not_in_service() {
        let mut pic = initialized();
        write(&mut pic, 0x4d0, 0xff);
        assert_eq!(read(&mut pic, 0x4d0), 0xf8);
        pic.set_line(5, Level::High);
        assert_eq!(pic.output(), Level::High);
        pic.set_line(5, Level::Low);
        assert_eq!(pic.acknowledge(), Vector(0x27));
        write(&mut pic, 0x20, 0x0b);
        assert_eq!(read(&mut pic, 0x20), 0);
    }

    #[test]
    fn a_level_still_high_after_eoi_asks_again() {
        let mut pic = initialized();
        write(&mut pic, 0x4d1, 0x08);
        pic.set_line(11, Level::High);
        assert_eq!(pic.acknowledge(), Vector(0x2b));
        write(&mut pic, 0xa0, 0x20);
        write(&mut pic, 0x20, 0x20);
        assert_eq!(pic.acknowledge(), Vector(0x2b));
    }

    #[test]
    fn auto_eoi_leaves_nothing_in_service() {
        let mut pic = initialized();
        for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 3), (0x21, 0)] {
            write(&mut pic, port, value);
        }
        pic.pulse(1);
        assert_eq!(pic.acknowledge(), Vector(0x21));
        pic.pulse(3);
        assert_eq!(pic.acknowledge(), Vector(0x23));
    }

    #[test]
    fn poll_acknowledges_and_names_the_line() {
        let mut pic = initialized();
        pic.pulse(6);
        write(&mut pic, 0x20, 0x0c);
        assert_eq!(read(&mut pic, 0x20), 0x86);
        assert_eq!(pic.output(), Level::Low);
        write(&mut pic, 0x20, 0x0c);
        assert_eq!(read(&mut pic, 0x20), 0);
    }

    #[test]
    fn rotation_gives_the_served_line_the_lowest_priority() {
        let mut pic = initialized();
        pic.pulse(0);
        pic.acknowledge();
        write(&mut pic, 0x20, 0xa0);
        pic.pulse(0);
        pic.pulse(1);
        assert_eq!(pic.acknowledge(), Vector(0x21));
    }

    #[test]
    fn special_mask_lets_lower_priorities_through() {
        let mut pic = initialized();
        pic.pulse(1);
        pic.acknowledge();
        write(&mut pic, 0x21, 0x02);
        pic.pulse(4);
        assert_eq!(pic.output(), Level::Low);
        write(&mut pic, 0x20, 0x68);
        assert_eq!(pic.acknowledge(), Vector(0x24));
    }

    #[test]
    fn the_mask_survives_a_read_back_and_holds_requests() {
        let mut pic = initialized();
        write(&mut pic, 0x21, 0xfb);
        assert_eq!(read(&mut pic, 0x21), 0xfb);
        pic.pulse(0);
        assert_eq!(pic.output(), Level::Low);
        write(&mut pic, 0x21, 0xfa);
        assert_eq!(pic.output(), Level::High);
    }
}
