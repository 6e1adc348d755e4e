//! Text on the grid: a terminal of the VT220 kind, as far as guests' views and the operator's shell use one.
//!
//! What reaches it has gone through `terminal::Confined`, or is the hypervisor's own.

use terminal::{Sgr, Style};
use vte::{Params, Parser, Perform};

use crate::grid::Grid;

/// A terminal: takes sequences apart and carries them out. Commands such as a new title are not kept, so they need no room.
pub(crate) struct Terminal {
    parser: Parser<0>,
    screen: Screen,
}

/// The state that control sequences work on.
pub(crate) struct Screen {
    pub(crate) grid: Grid,
    /// True if G0, or G1, holds the DEC line-drawing symbols; `is_shifted` is true if G1 is used.
    has_lines: [bool; 2],
    is_shifted: bool,
    last: char,
}

impl Terminal {
    pub(crate) fn new(grid: Grid) -> Self {
        Self {
            parser: Parser::default(),
            screen: Screen {
                grid,
                has_lines: [false; 2],
                is_shifted: false,
                last: ' ',
            },
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.screen, bytes);
    }

    pub(crate) fn grid(&mut self) -> &mut Grid {
        &mut self.screen.grid
    }
}

/// The DEC special graphics from 0x60 on. (VT220 programmer's reference, table 2-4)
const LINES: [char; 31] = [
    '◆', '▒', '→', '→', '→', '→', '°', '±', '↓', '↓', '┘', '┐', '┌', '└', '┼', '─', '─', '─', '─',
    '─', '├', '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

/// The parameter at a place; `default` where it is missing or zero.
fn parameter(params: &Params, at: usize, default: usize) -> usize {
    match params.iter().nth(at).and_then(|param| param.first()) {
        None | Some(0) => default,
        Some(value) => usize::from(*value),
    }
}

impl Screen {
    fn erase_display(&mut self, how: usize) {
        let (column, row) = (self.grid.column(), self.grid.row());
        match how {
            0 => {
                self.grid.erase_row(row, column, usize::MAX);
                self.grid.erase_rows(row + 1, usize::MAX);
            }
            1 => {
                self.grid.erase_rows(0, row);
                self.grid.erase_row(row, 0, column + 1);
            }
            2 => self.grid.erase_rows(0, usize::MAX),
            _ => {}
        }
    }

    fn mode(&mut self, mode: usize, is_set: bool) {
        match mode {
            7 => self.grid.is_wrap_off = !is_set,
            25 => {
                self.grid.is_cursor_hidden = !is_set;
                // The cell under it looks different now.
                self.grid.go(self.grid.column(), self.grid.row());
            }
            1049 => self.grid.set_alternate(is_set),
            _ => {}
        }
    }
}

impl Perform for Screen {
    fn print(&mut self, symbol: char) {
        let [g0_has_lines, g1_has_lines] = self.has_lines;
        let has_lines = if self.is_shifted {
            g1_has_lines
        } else {
            g0_has_lines
        };
        let symbol = match symbol {
            '`'..='~' if has_lines => LINES
                .get(symbol as usize - '`' as usize)
                .copied()
                .unwrap_or(symbol),
            '\x7f' => return,
            symbol => symbol,
        };
        self.last = symbol;
        self.grid.put(symbol);
    }

    fn execute(&mut self, control: u8) {
        let (column, row) = (self.grid.column(), self.grid.row());
        match control {
            b'\n' | 0x0b | 0x0c => self.grid.line_feed(),
            b'\r' => self.grid.go(0, row),
            0x08 => self.grid.go(column.saturating_sub(1), row),
            b'\t' => self.grid.go((column / 8 + 1) * 8, row),
            0x0e => self.is_shifted = true,
            0x0f => self.is_shifted = false,
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, last: u8) {
        match (intermediates, last) {
            ([], b'7') => self.grid.save_cursor(),
            ([], b'8') => self.grid.restore_cursor(),
            ([], b'D') => self.grid.line_feed(),
            ([], b'E') => {
                self.grid.go(0, self.grid.row());
                self.grid.line_feed();
            }
            ([], b'M') => self.grid.reverse_feed(),
            ([b'('], charset) => self.has_lines[0] = charset == b'0',
            ([b')'], charset) => self.has_lines[1] = charset == b'0',
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        if ignore {
            return;
        }
        let count = parameter(params, 0, 1);
        let how = parameter(params, 0, 0);
        let grid = &mut self.grid;
        let (column, row) = (grid.column(), grid.row());
        let (top, bottom) = grid.region();
        match (intermediates, last) {
            ([], 'A') => grid.go(column, row.saturating_sub(count)),
            ([], 'B' | 'e') => grid.go(column, row.saturating_add(count)),
            ([], 'C' | 'a') => grid.go(column.saturating_add(count), row),
            ([], 'D') => grid.go(column.saturating_sub(count), row),
            ([], 'E') => grid.go(0, row.saturating_add(count)),
            ([], 'F') => grid.go(0, row.saturating_sub(count)),
            ([], 'G' | '`') => grid.go(count - 1, row),
            ([], 'd') => grid.go(column, count - 1),
            ([], 'H' | 'f') => grid.go(parameter(params, 1, 1) - 1, count - 1),
            ([], 'I') => grid.go((column / 8).saturating_add(count) * 8, row),
            ([], 'Z') => grid.go((column.div_ceil(8)).saturating_sub(count) * 8, row),
            ([], 'J') => self.erase_display(how),
            ([], 'K') => match how {
                0 => grid.erase_row(row, column, usize::MAX),
                1 => grid.erase_row(row, 0, column + 1),
                2 => grid.erase_row(row, 0, usize::MAX),
                _ => {}
            },
            ([], 'L') if (top..=bottom).contains(&row) => grid.scroll_down(row, count),
            ([], 'M') if (top..=bottom).contains(&row) => grid.scroll_up(row, count),
            ([], 'S') => grid.scroll_up(top, count),
            ([], 'T') => grid.scroll_down(top, count),
            ([], '@') => grid.insert_cells(count),
            ([], 'P') => grid.delete_cells(count),
            ([], 'X') => grid.erase_row(row, column, column.saturating_add(count)),
            ([], 'b') => {
                for _ in 0..count.min(grid.columns()) {
                    grid.put(self.last);
                }
            }
            ([], 'r') => grid.set_region(
                parameter(params, 0, 1) - 1,
                parameter(params, 1, grid.rows()).saturating_sub(1),
            ),
            ([], 'm') => Sgr::parse(params, |wish| grid.attributes.set(wish)),
            ([], 'h' | 'l') if how == 4 => grid.is_inserting = last == 'h',
            ([b'?'], 'h' | 'l') => {
                for mode in params.iter().filter_map(|param| param.first()) {
                    self.mode(usize::from(*mode), last == 'h');
                }
            }
            _ => {}
        }
    }
}

/// The status line stands out.
pub(crate) const STATUS_STYLE: Style = Style::REVERSE;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn shown_on(columns: usize, rows: usize, bytes: &[u8]) -> Vec<String> {
        let mut terminal = Terminal::new(Grid::new(columns, rows + 1));
        // A byte at a time, as it may come.
        for byte in bytes {
            terminal.write(&[*byte]);
        }
        let lines = terminal.grid().lines();
        let rows = lines.iter().take(rows);
        rows.map(|line| line.trim_end().into()).collect()
    }

    fn shown(bytes: &[u8]) -> String {
        shown_on(16, 1, bytes).remove(0)
    }

    #[test]
    fn titles_and_the_like_vanish() {
        assert_eq!(
            shown(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\x1b(B\x1b[?25l."),
            "red!."
        );
        assert_eq!(shown(b"\x1b]0;title\x1b\\after"), "after");
        assert_eq!(shown(b"\x1bPq;1;2data\x1b\\\x1b_more\x1b\\after"), "after");
    }

    #[test]
    fn control_characters_move_and_leave_no_mark() {
        assert_eq!(shown(b"ab\x08c\td\x00\x07\x7fe"), "ac      de");
        assert_eq!(shown(b"abc\rx"), "xbc");
    }

    #[test]
    fn lines_are_drawn_from_their_own_charset() {
        assert_eq!(shown(b"\x1b(0lqk\x1b(Blqk"), "┌─┐lqk");
        assert_eq!(shown(b"\x1b)0\x0ex\x0fx"), "│x");
    }

    #[test]
    fn a_dialogue_is_where_it_was_placed() {
        let text = b"old\x1b[2J\x1b[2;3H\x1b[44mone\x1b[3;1Htwo\x1b[1;5Hthree\x1b[2;3Hx";
        assert_eq!(shown_on(12, 3, text), ["    three", "  xne", "two"]);
    }

    #[test]
    fn a_region_scrolls_by_itself() {
        let text = b"top\r\n\x1b[2;3r\x1b[3;1Hone\r\ntwo\r\nthree\x1b[r\x1b[4;1Hend";
        assert_eq!(shown_on(12, 4, text), ["top", "two", "three", "end"]);
        let text = b"a\r\nb\r\nc\x1b[2;1H\x1b[Lx\x1b[1;1H\x1b[My";
        assert_eq!(shown_on(12, 3, text), ["y", "b", ""]);
        assert_eq!(shown_on(12, 2, b"a\r\nb\x1b[H\x1bMx"), ["x", "a"]);
    }

    #[test]
    fn cells_are_inserted_deleted_and_erased() {
        assert_eq!(shown(b"abcdef\x1b[3D\x1b[2@X"), "abcX def");
        assert_eq!(shown(b"abcdef\x1b[4D\x1b[2P"), "abef");
        assert_eq!(shown(b"abcdef\x1b[4D\x1b[2X"), "ab  ef");
        assert_eq!(shown(b"abcdef\x1b[3D\x1b[K"), "abc");
        assert_eq!(shown(b"abcdef\x1b[3D\x1b[1K"), "    ef");
        assert_eq!(shown(b"ac\x1b[D\x1b[4hb\x1b[4l"), "abc");
        assert_eq!(shown(b"a\x1b[3b"), "aaaa");
    }

    #[test]
    fn the_main_screen_comes_back() {
        let text = b"main\x1b[?1049hother\x1b[?1049l!";
        assert_eq!(shown(text), "main!");
    }

    #[test]
    fn numbers_of_any_size_do_no_harm() {
        for last in b'@'..=b'~' {
            for numbers in ["", "0", "1", "65535", "65535;65535", "3;2", "2;65535"] {
                for marker in ["", "?"] {
                    let text =
                        std::format!("ab\r\ncd\x1b[{marker}{numbers}{}ef\r\n", char::from(last));
                    for (columns, rows) in [(0, 0), (1, 0), (1, 1), (5, 1), (5, 3)] {
                        let mut terminal = Terminal::new(Grid::new(columns, rows));
                        terminal.write(text.as_bytes());
                        while terminal.grid().next_stale(&mut 1000).is_some() {}
                    }
                }
            }
        }
    }
}
