//! A screen of cells on a terminal: only what changed is sent.
//!
//! Follows ECMA-48: CUP and SGR, with the bright colours of xterm. The terminal shows UTF-8.

use super::glyphs;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

/// A cell as the guest's memory has it: the character below, its attribute above.
pub(super) type Cell = u16;

/// A cell of an erased screen.
const BLANK: Cell = 0x0720;
/// The attribute that takes the terminal's own colours.
const PLAIN: u8 = 0x07;
/// A jump takes at least so many bytes.
const BRIDGE: usize = 6;

/// Returns the number in ECMA-48 of a colour of CGA, which has red and blue the other way round.
const fn colour(cga: u8) -> u8 {
    let (red, green, blue) = (cga >> 2 & 1, cga >> 1 & 1, cga & 1);
    blue << 2 | green << 1 | red
}

/// A picture to be shown.
pub(super) struct Shot<'a> {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// `columns * rows` of them.
    pub(super) cells: &'a [Cell],
    /// Row and column.
    pub(super) cursor: Option<(usize, usize)>,
    /// Set if bit 7 of an attribute blinks; otherwise it is a bright background.
    pub(super) blinks: bool,
}

/// A terminal as it is known to be.
pub(super) struct Terminal {
    columns: usize,
    rows: usize,
    blinks: bool,
    shown: Vec<Cell>,
    is_erased: bool,
    /// The first row that was not compared yet.
    row: usize,
    /// Row and column of the terminal's cursor, where known.
    at: Option<(usize, usize)>,
    attribute: Option<u8>,
    is_cursor_on: Option<bool>,
}

/// Bytes with a writer for text; writing to it cannot fail.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            columns: 0,
            rows: 0,
            blinks: false,
            shown: Vec::new(),
            is_erased: false,
            row: 0,
            at: None,
            attribute: None,
            is_cursor_on: None,
        }
    }

    /// Forgets what it shows: the next update begins with an empty screen.
    pub(super) fn forget(&mut self) {
        self.is_erased = false;
    }

    /// Writes what leads from what is shown to `shot`, about `budget` bytes at most; the rest
    /// follows next time.
    pub(super) fn update(&mut self, shot: &Shot<'_>, budget: usize, out: &mut Vec<u8>) {
        let shape = (shot.columns, shot.rows, shot.blinks);
        if !self.is_erased || shape != (self.columns, self.rows, self.blinks) {
            self.erase(shot, out);
        }
        let end = out.len() + budget;
        let Self { columns, rows, .. } = *self;
        for _ in 0..rows {
            for column in 0..columns {
                let index = self.row * columns + column;
                let pair = shot.cells.get(index).zip(self.shown.get_mut(index));
                let Some((cell, shown)) = pair else {
                    break;
                };
                if shown != cell {
                    if out.len() >= end {
                        return;
                    }
                    *shown = *cell;
                    self.bridge(shot, column, out);
                    self.put(self.row, column, *cell, out);
                }
            }
            self.row = (self.row + 1) % rows;
        }
        self.place_cursor(shot, out);
    }

    fn erase(&mut self, shot: &Shot<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[0m\x1b[2J");
        *self = Self {
            columns: shot.columns,
            rows: shot.rows,
            blinks: shot.blinks,
            shown: vec![BLANK; shot.columns * shot.rows],
            is_erased: true,
            row: 0,
            at: None,
            attribute: Some(PLAIN),
            is_cursor_on: None,
        };
    }

    fn put(&mut self, row: usize, column: usize, cell: Cell, out: &mut Vec<u8>) {
        let [character, attribute] = cell.to_le_bytes();
        self.go_to(row, column, out);
        if self.attribute != Some(attribute) {
            self.set_attribute(attribute, out);
        }
        let symbol = glyphs::unicode(character);
        let mut utf_8 = [0; 4];
        out.extend_from_slice(symbol.encode_utf8(&mut utf_8).as_bytes());
        // Behind the last column terminals differ.
        self.at = (column + 1 < self.columns).then_some((row, column + 1));
    }

    /// Writes the few cells between the cursor and `column` again, where that is shorter than a
    /// jump.
    fn bridge(&mut self, shot: &Shot<'_>, column: usize, out: &mut Vec<u8>) {
        let (row, from) = match self.at {
            Some((row, from)) if row == self.row && (from..from + BRIDGE).contains(&column) => {
                (row, from)
            }
            _ => return,
        };
        let cells = shot
            .cells
            .get(row * self.columns + from..row * self.columns + column);
        let cells = cells.unwrap_or_default();
        let is_plain = |cell: &Cell| Some(cell.to_le_bytes()[1]) == self.attribute;
        if cells.iter().all(is_plain) {
            for (between, cell) in (from..).zip(cells) {
                self.put(row, between, *cell, out);
            }
        }
    }

    fn go_to(&mut self, row: usize, column: usize, out: &mut Vec<u8>) {
        if self.at != Some((row, column)) {
            let _ = write!(Bytes(out), "\x1b[{};{}H", row + 1, column + 1);
            self.at = Some((row, column));
        }
    }

    fn set_attribute(&mut self, attribute: u8, out: &mut Vec<u8>) {
        self.attribute = Some(attribute);
        if attribute == PLAIN {
            out.extend_from_slice(b"\x1b[0m");
            return;
        }
        let foreground = colour(attribute) + if attribute & 0x08 != 0 { 90 } else { 30 };
        let is_high = attribute & 0x80 != 0;
        let is_bright = is_high && !self.blinks;
        let background = colour(attribute >> 4) + if is_bright { 100 } else { 40 };
        let blink = if is_high && self.blinks { "5;" } else { "" };
        let _ = write!(Bytes(out), "\x1b[0;{blink}{foreground};{background}m");
    }

    fn place_cursor(&mut self, shot: &Shot<'_>, out: &mut Vec<u8>) {
        if let Some((row, column)) = shot.cursor {
            self.go_to(row, column, out);
        }
        let is_on = shot.cursor.is_some();
        if self.is_cursor_on != Some(is_on) {
            out.extend_from_slice(if is_on { b"\x1b[?25h" } else { b"\x1b[?25l" });
            self.is_cursor_on = Some(is_on);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const PLENTY: usize = 10_000;

    fn cells(text: &str) -> Vec<Cell> {
        text.bytes().map(|byte| 0x0700 | Cell::from(byte)).collect()
    }

    fn shot(cells: &[Cell]) -> Shot<'_> {
        Shot {
            columns: 4,
            rows: cells.len() / 4,
            cells,
            cursor: Some((0, 0)),
            blinks: true,
        }
    }

    fn update(terminal: &mut Terminal, shot: &Shot<'_>, budget: usize) -> String {
        let mut out = Vec::new();
        terminal.update(shot, budget, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn the_first_time_all_and_then_what_changed() {
        let mut terminal = Terminal::new();
        let first = update(&mut terminal, &shot(&cells("ab  cdef")), PLENTY);
        assert_eq!(
            first,
            "\x1b[0m\x1b[2J\x1b[1;1Hab\x1b[2;1Hcdef\x1b[1;1H\x1b[?25h"
        );
        assert_eq!(update(&mut terminal, &shot(&cells("ab  cdef")), PLENTY), "");
        let second = update(&mut terminal, &shot(&cells("ab  cXef")), PLENTY);
        assert_eq!(second, "\x1b[2;2HX\x1b[1;1H");
        terminal.forget();
        let again = update(&mut terminal, &shot(&cells("ab  cXef")), PLENTY);
        assert!(again.starts_with("\x1b[0m\x1b[2J"));
    }

    #[test]
    fn a_word_is_not_torn_from_the_next() {
        let mut terminal = Terminal::new();
        let text = update(&mut terminal, &shot(&cells("a b c  d")), PLENTY);
        assert!(text.contains("a b\x1b[2;1Hc  d"), "{text:?}");
        let coloured = [0x0761, 0x1720, 0x0762, 0x0763];
        let text = update(&mut Terminal::new(), &shot(&coloured), PLENTY);
        assert!(text.contains("a\x1b[0;37;44m \x1b[0mbc"), "{text:?}");
    }

    #[test]
    fn colours_are_named_once_for_a_run() {
        let mut terminal = Terminal::new();
        let run = [0x1f41, 0x1f42, 0x8e43, 0x0720];
        let mut picture = shot(&run);
        picture.cursor = None;
        let blinking = update(&mut terminal, &picture, PLENTY);
        assert_eq!(
            blinking,
            "\x1b[0m\x1b[2J\x1b[1;1H\x1b[0;97;44mAB\x1b[0;5;93;40mC\x1b[?25l"
        );
        picture.blinks = false;
        assert!(update(&mut terminal, &picture, PLENTY).contains("\x1b[0;93;100mC"));
    }

    #[test]
    fn little_room_shows_a_little_each_time_and_in_the_end_all() {
        let mut terminal = Terminal::new();
        let picture = cells("abcdefghijklmnop");
        let mut all = String::new();
        for _ in 0..16 {
            let piece = update(&mut terminal, &shot(&picture), 4);
            assert!(piece.len() < 40);
            all += &piece;
        }
        assert_eq!(update(&mut terminal, &shot(&picture), 4), "");
        assert!(
            picture
                .iter()
                .all(|cell| all.contains(char::from(*cell as u8)))
        );
    }

    #[test]
    fn a_guest_cannot_send_control_characters() {
        let wild: Vec<Cell> = (0..=255u16).map(|byte| byte << 8 | byte).collect();
        let mut terminal = Terminal::new();
        let text = update(&mut terminal, &shot(&wild), PLENTY * 10);
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once('\x1b') {
            let end = after
                .find(|c: char| c.is_ascii_alphabetic())
                .expect("an end");
            assert!(after.starts_with('[') && "mJHhl".contains(&after[end..=end]));
            rest = &after[end + 1..];
        }
        assert!(text.chars().all(|c| c == '\x1b' || !c.is_control()));
    }
}
