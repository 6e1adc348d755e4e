//! One 8259A: requests, priorities, service, and its command words.
//!
//! Follows the 8259A datasheet (Intel order 231468). The pair is [`crate::PicPair`].

use device::{BadState, Level};
use serde::{Deserialize, Serialize};

/// The master's line that the slave drives.
pub(crate) const CASCADE: u8 = 2;

/// Which initialization word a chip expects next at its odd port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Expecting {
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chip {
    /// Levels of the eight lines. They belong to whatever holds the lines, and so are no part of
    /// the state.
    #[serde(skip)]
    lines: u8,
    /// Edges not acknowledged yet.
    pub(crate) latched: u8,
    pub(crate) in_service: u8,
    pub(crate) mask: u8,
    /// Lines that are levels, by ELCR.
    pub(crate) elcr: u8,
    /// ICW1 made all lines levels.
    is_all_level: bool,
    /// Vector of IR0.
    pub(crate) base: u8,
    /// The line with the lowest priority; the next one has the highest.
    lowest: u8,
    expecting: Expecting,
    has_icw4: bool,
    is_single: bool,
    is_auto_eoi: bool,
    rotates_on_auto_eoi: bool,
    is_special_mask: bool,
    is_special_nested: bool,
    /// The even port reads the in-service register.
    reads_in_service: bool,
    /// The next read is a poll.
    is_polled: bool,
}

impl Chip {
    pub(crate) const fn new() -> Self {
        Self {
            lines: 0,
            latched: 0,
            in_service: 0,
            mask: 0,
            elcr: 0,
            is_all_level: false,
            base: 0,
            lowest: 7,
            expecting: Expecting::Mask,
            has_icw4: false,
            is_single: false,
            is_auto_eoi: false,
            rotates_on_auto_eoi: false,
            is_special_mask: false,
            is_special_nested: false,
            reads_in_service: false,
            is_polled: false,
        }
    }

    pub(crate) const fn levels(&self) -> u8 {
        if self.is_all_level { 0xff } else { self.elcr }
    }

    pub(crate) fn set_line(&mut self, ir: u8, level: Level) {
        let bit = 1 << (ir & 7);
        if !level.is_high() {
            self.lines &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.latched |= bit & !self.levels();
        }
    }

    /// The interrupt request register. `cascade` has bit 2 when a slave asks.
    pub(crate) const fn requests(&self, cascade: u8) -> u8 {
        self.latched | self.lines & self.levels() | cascade
    }

    /// The line of highest priority in `set`.
    fn first(&self, set: u8) -> Option<u8> {
        let top = self.lowest.wrapping_add(1) & 7;
        let turned = set.rotate_right(u32::from(top));
        (turned != 0).then(|| (turned.trailing_zeros() as u8 + top) & 7)
    }

    /// Returns how far `ir` is from the highest priority.
    const fn rank(&self, ir: u8) -> u8 {
        ir.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }

    /// The request that may interrupt what is in service.
    pub(crate) fn pending(&self, cascade: u8) -> Option<u8> {
        let request = self.first(self.requests(cascade) & !self.mask)?;
        let mut blocking = self.in_service;
        if self.is_special_mask {
            blocking &= !self.mask;
        }
        if self.is_special_nested {
            blocking &= !(cascade & 1 << CASCADE);
        }
        match self.first(blocking) {
            Some(serving) if self.rank(serving) <= self.rank(request) => None,
            _ => Some(request),
        }
    }

    /// Puts `ir` into service.
    pub(crate) fn acknowledge(&mut self, ir: u8) {
        let bit = 1 << (ir & 7);
        self.latched &= !bit;
        if self.is_auto_eoi {
            if self.rotates_on_auto_eoi {
                self.lowest = ir & 7;
            }
        } else {
            self.in_service |= bit;
        }
    }

    pub(crate) fn write_even(&mut self, value: u8) {
        if value & 0x10 != 0 {
            self.write_icw1(value);
        } else if value & 0x08 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    /// Starts initialization. (8259A, "Initialization Command Words 1 and 2")
    fn write_icw1(&mut self, value: u8) {
        let Self { lines, elcr, .. } = *self;
        *self = Self {
            lines,
            elcr,
            is_all_level: value & 0x08 != 0,
            is_single: value & 0x02 != 0,
            has_icw4: value & 0x01 != 0,
            expecting: Expecting::Icw2,
            ..Self::new()
        };
    }

    fn write_ocw2(&mut self, value: u8) {
        let named = value & 7;
        let (rotates, is_specific, is_eoi) =
            (value & 0x80 != 0, value & 0x40 != 0, value & 0x20 != 0);
        match (is_eoi, is_specific) {
            (true, true) => self.end(named, rotates),
            (true, false) => {
                let mut serving = self.in_service;
                if self.is_special_mask {
                    serving &= !self.mask;
                }
                if let Some(ir) = self.first(serving) {
                    self.end(ir, rotates);
                }
            }
            (false, true) if rotates => self.lowest = named,
            (false, true) => {}
            (false, false) => self.rotates_on_auto_eoi = rotates,
        }
    }

    fn end(&mut self, ir: u8, rotates: bool) {
        self.in_service &= !(1 << ir);
        if rotates {
            self.lowest = ir;
        }
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.is_special_mask = value & 0x20 != 0;
        }
        if value & 0x04 != 0 {
            self.is_polled = true;
        }
        if value & 0x02 != 0 {
            self.reads_in_service = value & 0x01 != 0;
        }
    }

    pub(crate) fn write_odd(&mut self, value: u8) {
        self.expecting = match self.expecting {
            Expecting::Mask => {
                self.mask = value;
                Expecting::Mask
            }
            Expecting::Icw2 => {
                self.base = value & 0xf8;
                match (self.is_single, self.has_icw4) {
                    (false, _) => Expecting::Icw3,
                    (true, true) => Expecting::Icw4,
                    (true, false) => Expecting::Mask,
                }
            }
            // The cascade is soldered.
            Expecting::Icw3 if self.has_icw4 => Expecting::Icw4,
            Expecting::Icw3 => Expecting::Mask,
            Expecting::Icw4 => {
                self.is_special_nested = value & 0x10 != 0;
                self.is_auto_eoi = value & 0x02 != 0;
                Expecting::Mask
            }
        };
    }

    pub(crate) fn read_even(&mut self, cascade: u8) -> u8 {
        if core::mem::take(&mut self.is_polled) {
            return self.poll(cascade);
        }
        if self.reads_in_service {
            self.in_service
        } else {
            self.requests(cascade)
        }
    }

    pub(crate) fn read_odd(&mut self, cascade: u8) -> u8 {
        if core::mem::take(&mut self.is_polled) {
            return self.poll(cascade);
        }
        self.mask
    }

    /// A read that acknowledges. (8259A, "Poll Command")
    fn poll(&mut self, cascade: u8) -> u8 {
        match self.pending(cascade) {
            Some(ir) => {
                self.acknowledge(ir);
                0x80 | ir
            }
            None => 0,
        }
    }

    /// Checks one that was saved; `elcr_writable` is what ELCR can be.
    pub(crate) fn check(&self, elcr_writable: u8) -> Result<(), BadState> {
        BadState::unless(
            self.elcr & !elcr_writable == 0,
            "a line is level-triggered that cannot be",
        )?;
        BadState::unless(self.base & 7 == 0, "the first vector is no multiple of 8")?;
        BadState::unless(self.lowest < 8, "no line has the lowest priority")
    }

    /// Takes the state of another; the lines stay as they are held.
    pub(crate) fn take_over(&mut self, state: Self) {
        let lines = self.lines;
        *self = Self { lines, ..state };
    }

    pub(crate) fn reset(&mut self) {
        let Self { lines, .. } = *self;
        *self = Self {
            lines,
            ..Self::new()
        };
    }
}
