//! The text screen of 80 by 25 as INT 10h sees it: characters in the VGA's memory, the cursor in the BIOS data area and in
//! the VGA's registers.

use crate::devices::{HOLDING_EMPTY, LINE_STATUS};
use crate::{Call, Pc};
use addr::Gpa;
use guest_boot::bios::area;
use guest_memory::GuestMemory;
use pc_map::memory::TEXT_SCREEN;
use pc_map::ports;
use vcpu::Vcpu;

pub(super) const COLUMNS: u8 = 80;
pub(super) const ROWS: u8 = 25;
const ROW_BYTES: usize = COLUMNS as usize * 2;
/// Grey on black.
pub(super) const PLAIN: u8 = 0x07;

const CRTC_INDEX: u16 = *ports::VGA_CRTC.start();
const CRTC_DATA: u16 = *ports::VGA_CRTC.end();
const CURSOR_HIGH: u8 = 0x0e;
const CURSOR_LOW: u8 = 0x0f;

const COM1: u16 = *ports::COM1.start();
const LINE_CONTROL: u16 = COM1 + 3;
const DIVISOR_ACCESS: u8 = 1 << 7;

const BELL: u8 = 7;
const BACKSPACE: u8 = 8;
const LINE_FEED: u8 = 10;
const CARRIAGE_RETURN: u8 = 13;

/// A place on the screen; always inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: u8,
    pub(super) column: u8,
}

impl Place {
    pub(super) fn new(row: u8, column: u8) -> Self {
        Self {
            row: row.min(ROWS - 1),
            column: column.min(COLUMNS - 1),
        }
    }

    /// From how the BIOS data area has it.
    pub(super) fn from_bytes([column, row]: [u8; 2]) -> Self {
        Self::new(row, column)
    }

    pub(super) fn to_bytes(self) -> [u8; 2] {
        [self.column, self.row]
    }

    fn number(self) -> u16 {
        u16::from(self.row) * u16::from(COLUMNS) + u16::from(self.column)
    }

    fn at(self) -> Gpa {
        TEXT_SCREEN.wrapping_add(u64::from(self.number()) * 2)
    }
}

/// A part of the screen, its corners among it.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) first: Place,
    pub(super) last: Place,
}

impl Window {
    pub(super) fn whole() -> Self {
        Self {
            first: Place::new(0, 0),
            last: Place::new(ROWS, COLUMNS),
        }
    }
}

impl<V: Vcpu, P: Pc> Call<'_, V, P> {
    pub(super) fn cursor(&self) -> Place {
        Place::from_bytes(self.read_u16(area::CURSORS).to_le_bytes())
    }

    pub(super) fn set_cursor(&self, place: Place) {
        self.write(area::CURSORS, &place.to_bytes());
        let [high, low] = place.number().to_be_bytes();
        for (register, value) in [(CURSOR_HIGH, high), (CURSOR_LOW, low)] {
            self.set_crtc(register, value);
        }
    }

    pub(super) fn set_crtc(&self, register: u8, value: u8) {
        self.output(CRTC_INDEX, register);
        self.output(CRTC_DATA, value);
    }

    /// The character there, and its colours.
    pub(super) fn cell(&self, place: Place) -> [u8; 2] {
        self.read_u16(place.at()).to_le_bytes()
    }

    /// Puts a character there, with its colours or those that are there.
    pub(super) fn set_cell(&self, place: Place, character: u8, colours: Option<u8>) {
        match colours {
            Some(colours) => self.write(place.at(), &[character, colours]),
            None => self.write(place.at(), &[character]),
        }
    }

    /// Moves what is in the window up (or down, if negative) by so many lines; the rest becomes blank, with these colours.
    pub(super) fn scroll(&self, window: Window, lines: i16, colours: u8) {
        let Window { first, last } = window;
        if first.row > last.row || first.column > last.column {
            return;
        }
        let mut line = [0; ROW_BYTES];
        let len_bytes = (usize::from(last.column - first.column) + 1) * 2;
        let (line, _) = line.split_at_mut(len_bytes);
        let rows = i16::from(first.row)..=i16::from(last.row);
        let count = i16::from(last.row - first.row) + 1;
        for step in 0..count {
            // Up from the top, down from the bottom: each line is read before it is overwritten.
            let row = if lines >= 0 {
                rows.start() + step
            } else {
                rows.end() - step
            };
            let from = row.saturating_add(lines);
            let place = |row: i16| Place::new(row as u8, first.column).at();
            let is_moved = rows.contains(&from) && self.pc.ram().read(place(from), line).is_ok();
            if !is_moved {
                for cell in line.chunks_exact_mut(2) {
                    cell.copy_from_slice(&[b' ', colours]);
                }
            }
            self.write(place(row), line);
        }
    }

    /// Writes a character as a teletype does, on the screen and on the serial console.
    pub(super) fn type_out(&self, character: u8, colours: Option<u8>) {
        self.type_on_screen(character, colours);
        self.type_on_serial(character);
    }

    fn type_on_screen(&self, character: u8, colours: Option<u8>) {
        let mut place = self.cursor();
        let mut is_below = false;
        match character {
            BELL => return,
            BACKSPACE => place.column = place.column.saturating_sub(1),
            CARRIAGE_RETURN => place.column = 0,
            LINE_FEED => is_below = true,
            _ => {
                self.set_cell(place, character, colours);
                place.column += 1;
                if place.column == COLUMNS {
                    place.column = 0;
                    is_below = true;
                }
            }
        }
        if is_below && place.row + 1 == ROWS {
            let [_, colours] = self.cell(place);
            self.scroll(Window::whole(), 1, colours);
        } else if is_below {
            place.row += 1;
        }
        self.set_cursor(place);
    }

    /// Writes what the guest types to COM1 too, for an operator who has no view of its screen.
    pub(super) fn type_on_serial(&self, character: u8) {
        // A guest that sets its own speed uses the port itself.
        if self.pc.has_serial_console()
            && self.input(LINE_CONTROL) & DIVISOR_ACCESS == 0
            && self.input(COM1 + LINE_STATUS) & HOLDING_EMPTY != 0
        {
            self.output(COM1, character);
        }
    }
}
