//! VGA adapter: the registers at 0x3B4 to 0x3DA, in the state in which a BIOS leaves text mode 3. Its memory is not here.
//!
//! Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem". Ports are absolute. What lies at 0xA0000 to
//! 0xBFFFF is plain guest RAM, so that a character costs no exit; planes, latches and write modes therefore do not act, and
//! only text can be shown. Fonts and colours are kept for the guest and shown in none of their details.

mod dac;
mod picture;
mod registers;
mod state;
#[cfg(test)]
mod tests;

pub use picture::{MAX_COLUMNS, MAX_ROWS, Picture, TextMode};

use dac::Dac;
use device::{Device, Page, PioDevice, Refused, Width};
use registers::Indexed;
use time::Instant;

/// One frame: 449 lines of 31.78 us, 70 Hz.
const FRAME_NS: u64 = 14_268_000;
/// The part of it that shows lines 0 to 399.
const SHOWN_NS: u64 = 12_711_000;
/// One line, and the part of it that shows something.
const LINE_NS: u64 = 31_778;
const SHOWN_LINE_NS: u64 = 25_422;

/// The beam shows nothing: between two lines or two frames.
const STATUS_BLANK: u8 = 1 << 0;
/// The beam is between two frames.
const STATUS_RETRACE: u8 = 1 << 3;
/// Input status 0: a colour monitor is connected.
const STATUS_SENSE: u8 = 1 << 4;

/// The CRTC answers at 0x3D4, not at 0x3B4.
const MISC_COLOUR: u8 = 1 << 0;
/// 400 lines, RAM on, colour.
const MISC_TEXT: u8 = 0x67;

/// The last index whose writing [`CRTC_PROTECT`] forbids, but for one bit.
const CRTC_OVERFLOW: u8 = 7;
const CRTC_OVERFLOW_LINE_COMPARE: u8 = 1 << 4;
const CRTC_RETRACE_END: usize = 0x11;
const CRTC_PROTECT: u8 = 1 << 7;

/// Text mode 3 with 400 lines, as IBM's BIOS sets it.
const SEQUENCER_TEXT: [u8; 5] = [0x03, 0x00, 0x03, 0x00, 0x02];
const CRTC_TEXT: [u8; 25] = [
    0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00,
    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];
const GRAPHICS_TEXT: [u8; 9] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff];
const ATTRIBUTE_TEXT: [u8; 21] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
    0x0c, 0x00, 0x0f, 0x08, 0x00,
];
/// The palette belongs to the screen, not to the CPU.
const ATTRIBUTE_SCREEN_ON: u8 = 1 << 5;

/// The adapter's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vga {
    now: Instant,
    misc_output: u8,
    feature_control: u8,
    sequencer: Indexed,
    graphics: Indexed,
    crtc: Indexed,
    attribute: Indexed,
    /// The next write to 0x3C0 is data for the register chosen before.
    is_attribute_data: bool,
    dac: Dac,
}

impl Default for Vga {
    fn default() -> Self {
        Self::new()
    }
}

impl Vga {
    /// An adapter in text mode 3: 80 columns, 25 rows, colour, cursor in the upper left corner.
    #[must_use]
    pub fn new() -> Self {
        let mut attribute = Indexed::new(0x1f, &ATTRIBUTE_TEXT);
        attribute.index = ATTRIBUTE_SCREEN_ON;
        Self {
            now: Instant::from_ns(0),
            misc_output: MISC_TEXT,
            feature_control: 0,
            sequencer: Indexed::new(0x07, &SEQUENCER_TEXT),
            graphics: Indexed::new(0x0f, &GRAPHICS_TEXT),
            crtc: Indexed::new(0x1f, &CRTC_TEXT),
            attribute,
            is_attribute_data: false,
            dac: Dac::new(),
        }
    }

    /// Returns what is to be seen on its screen.
    #[must_use]
    pub fn picture(&self) -> Picture {
        picture::of(self)
    }

    /// Input status 1. The whole time between two frames counts as retrace, longer than on the chip: a guest that polls for it
    /// in a loop of exits must not miss it for ever.
    fn status(&self) -> u8 {
        let in_frame = self.now.as_ns() % FRAME_NS;
        if in_frame >= SHOWN_NS {
            STATUS_BLANK | STATUS_RETRACE
        } else if in_frame % LINE_NS >= SHOWN_LINE_NS {
            STATUS_BLANK
        } else {
            0
        }
    }

    fn write_attribute(&mut self, value: u8) {
        if self.is_attribute_data {
            self.attribute.set(value);
        } else {
            self.attribute.index = value;
        }
        self.is_attribute_data = !self.is_attribute_data;
    }

    fn write_crtc(&mut self, value: u8) {
        let is_protected = self.crtc.values[CRTC_RETRACE_END] & CRTC_PROTECT != 0;
        match self.crtc.register() {
            CRTC_OVERFLOW if is_protected => {
                let kept = self.crtc.get() & !CRTC_OVERFLOW_LINE_COMPARE;
                self.crtc.set(kept | value & CRTC_OVERFLOW_LINE_COMPARE);
            }
            0..CRTC_OVERFLOW if is_protected => {}
            _ => self.crtc.set(value),
        }
    }

    /// The port as a colour adapter has it, if the adapter answers there at all.
    fn decode(&self, at: u16) -> Result<u16, Refused> {
        let is_colour = self.misc_output & MISC_COLOUR != 0;
        match at {
            0x3b4 | 0x3b5 | 0x3ba if !is_colour => Ok(at + 0x20),
            0x3d4 | 0x3d5 | 0x3da if is_colour => Ok(at),
            0x3c0..=0x3cf => Ok(at),
            _ => Err(Refused::NoRegister),
        }
    }
}

impl Device for Vga {
    fn reset(&mut self) {
        let now = self.now;
        *self = Self::new();
        self.now = now;
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("screen", self.picture());
        page.line("misc output", format_args!("{:#04x}", self.misc_output));
        page.line("sequencer", &self.sequencer);
        page.line("crtc", &self.crtc);
        page.line("graphics", &self.graphics);
        page.line("attribute", &self.attribute);
    }
}

impl PioDevice for Vga {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        let at = self.decode(at)?;
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let byte = match at {
            0x3c0 => self.attribute.index,
            0x3c1 => self.attribute.get(),
            0x3c2 => STATUS_SENSE,
            // The adapter is awake.
            0x3c3 => 1,
            0x3c4 => self.sequencer.index,
            0x3c5 => self.sequencer.get(),
            0x3c6 => self.dac.mask,
            0x3c7 => self.dac.state(),
            0x3c8 => self.dac.write_index,
            0x3c9 => self.dac.read(),
            0x3ca => self.feature_control,
            0x3cc => self.misc_output,
            0x3ce => self.graphics.index,
            0x3cf => self.graphics.get(),
            0x3d4 => self.crtc.index,
            0x3d5 => self.crtc.get(),
            0x3da => {
                self.is_attribute_data = false;
                self.status()
            }
            _ => return Err(Refused::NoRegister),
        };
        Ok(u32::from(byte))
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        let at = self.decode(at)?;
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let value = value as u8;
        match at {
            0x3c0 => self.write_attribute(value),
            0x3c2 => self.misc_output = value,
            0x3c4 => self.sequencer.index = value,
            0x3c5 => self.sequencer.set(value),
            0x3c6 => self.dac.mask = value,
            0x3c7 => self.dac.start_reading(value),
            0x3c8 => self.dac.start_writing(value),
            0x3c9 => self.dac.write(value),
            0x3ce => self.graphics.index = value,
            0x3cf => self.graphics.set(value),
            0x3d4 => self.crtc.index = value,
            0x3d5 => self.write_crtc(value),
            0x3da => self.feature_control = value,
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}
