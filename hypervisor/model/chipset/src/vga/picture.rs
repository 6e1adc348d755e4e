//! The picture that the registers make of the memory.

use super::Vga;
use core::fmt;

/// The widest text that is shown.
pub const MAX_COLUMNS: u16 = 132;
/// The highest text that is shown.
pub const MAX_ROWS: u16 = 60;

const SEQUENCER_CLOCKING: usize = 1;
const CLOCKING_SCREEN_OFF: u8 = 1 << 5;
const GRAPHICS_MISC: usize = 6;
const MISC_GRAPHICS: u8 = 1 << 0;
const ATTRIBUTE_MODE: usize = 0x10;
const ATTRIBUTE_BLINKS: u8 = 1 << 3;
const CRTC_SHOWN_END: usize = 1;
const CRTC_OVERFLOW: usize = super::CRTC_OVERFLOW as usize;
const CRTC_MAX_SCAN_LINE: usize = 9;
const MAX_SCAN_LINE_DOUBLE: u8 = 1 << 7;
const CRTC_CURSOR_START: usize = 0xa;
const CURSOR_OFF: u8 = 1 << 5;
const CRTC_CURSOR_END: usize = 0xb;
const CRTC_START: usize = 0xc;
const CRTC_CURSOR: usize = 0xe;
const CRTC_SHOWN_LINES_END: usize = 0x12;
const CRTC_OFFSET: usize = 0x13;

/// Cells of a window of 32 KiB.
const CELLS: u32 = 0x4000;

/// Picture that is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Nothing: the screen is switched off.
    Off,
    /// Text in guest memory.
    Text(TextMode),
    /// Pixels, which are not shown.
    Graphics,
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => write!(f, "off"),
            Self::Graphics => write!(f, "graphics mode"),
            Self::Text(text) => write!(
                f,
                "text, {}x{} at {:#x}",
                text.columns, text.rows, text.window
            ),
        }
    }
}

/// A screen of text: cells of two bytes, character and attribute, in a window that wraps after 32 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextMode {
    /// 1 to [`MAX_COLUMNS`].
    pub columns: u16,
    /// 1 to [`MAX_ROWS`].
    pub rows: u16,
    /// Guest-physical address of the window.
    pub window: u32,
    /// Cell in the upper left corner.
    pub start: u16,
    /// Cells from a row to the next.
    pub pitch: u16,
    /// Cell under the cursor, unless that is off.
    pub cursor: Option<u16>,
    /// True if bit 7 of an attribute makes the character blink; else it makes the background
    /// bright.
    pub blinks: bool,
}

impl TextMode {
    /// Where a cell lies, in bytes from the start of the window; even and below 32 KiB.
    #[must_use]
    pub fn offset_of(&self, row: u16, column: u16) -> u32 {
        let cell = u32::from(self.start)
            .wrapping_add(u32::from(row) * u32::from(self.pitch))
            .wrapping_add(u32::from(column));
        cell % CELLS * 2
    }

    /// Row and column of the cursor, if it is on the screen.
    #[must_use]
    pub fn cursor_place(&self) -> Option<(u16, u16)> {
        let cell = self.cursor?.wrapping_sub(self.start) % CELLS as u16;
        let row = cell.checked_div(self.pitch)?;
        let column = cell % self.pitch;
        (row < self.rows && column < self.columns).then_some((row, column))
    }
}

/// Returns what `vga` shows.
pub(super) fn of(vga: &Vga) -> Picture {
    let crtc = &vga.crtc.values;
    if vga.sequencer.values[SEQUENCER_CLOCKING] & CLOCKING_SCREEN_OFF != 0 {
        return Picture::Off;
    }
    let misc = vga.graphics.values[GRAPHICS_MISC];
    if misc & MISC_GRAPHICS != 0 {
        return Picture::Graphics;
    }
    let overflow = u16::from(crtc[CRTC_OVERFLOW]);
    let lines = u16::from(crtc[CRTC_SHOWN_LINES_END])
        + ((overflow >> 1 & 1) << 8)
        + ((overflow >> 6 & 1) << 9)
        + 1;
    let cell_lines = u16::from(crtc[CRTC_MAX_SCAN_LINE] & 0x1f) + 1;
    let doubled = u16::from(crtc[CRTC_MAX_SCAN_LINE] & MAX_SCAN_LINE_DOUBLE != 0);
    let cursor_start = crtc[CRTC_CURSOR_START];
    let is_cursor_on =
        cursor_start & CURSOR_OFF == 0 && cursor_start & 0x1f <= crtc[CRTC_CURSOR_END] & 0x1f;
    let start = u16::from_be_bytes([crtc[CRTC_START], crtc[CRTC_START + 1]]);
    let cursor = u16::from_be_bytes([crtc[CRTC_CURSOR], crtc[CRTC_CURSOR + 1]]);
    Picture::Text(TextMode {
        columns: (u16::from(crtc[CRTC_SHOWN_END]) + 1).min(MAX_COLUMNS),
        rows: (lines / (cell_lines << doubled)).clamp(1, MAX_ROWS),
        window: match misc >> 2 & 3 {
            0 | 1 => 0xa_0000,
            2 => 0xb_0000,
            _ => 0xb_8000,
        },
        start,
        pitch: u16::from(crtc[CRTC_OFFSET]) * 2,
        cursor: is_cursor_on.then_some(cursor),
        blinks: vga.attribute.values[ATTRIBUTE_MODE] & ATTRIBUTE_BLINKS != 0,
    })
}
