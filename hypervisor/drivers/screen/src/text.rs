//! Text on the grid: control characters act, ANSI sequences vanish.

use vte::Perform;

use crate::grid::Grid;

/// Takes sequences apart. Commands such as a new title are not kept, so they need no room.
pub(crate) type Parser = vte::Parser<0>;

impl Perform for Grid {
    fn print(&mut self, symbol: char) {
        match symbol {
            ' '..='~' => self.put(symbol as u8),
            '\x7f' => {}
            _ => self.put(b'?'),
        }
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\n' => self.new_line(),
            b'\r' => self.carriage_return(),
            0x08 => self.back(),
            b'\t' => self.tab(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn shown(bytes: &[u8]) -> String {
        let mut grid = Grid::new(16, 1);
        Parser::default().advance(&mut grid, bytes);
        // Nothing was drawn yet, so every cell comes up.
        let cells = std::iter::from_fn(|| grid.next_stale(&mut 100));
        let line: String = cells.map(|(.., cell)| char::from(cell.symbol())).collect();
        line.trim_end().into()
    }

    #[test]
    fn colours_titles_and_charsets_vanish() {
        assert_eq!(
            shown(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\x1b(B\x1b[?25l."),
            "red!."
        );
        assert_eq!(shown(b"\x1b]0;title\x1b\\after"), "after");
        assert_eq!(shown(b"\x1bPq;1;2data\x1b\\\x1b_more\x1b\\after"), "after");
    }

    #[test]
    fn a_foreign_letter_is_one_question_mark() {
        assert_eq!(shown("a\u{20ac}b".as_bytes()), "a?b");
    }

    #[test]
    fn control_characters_move_and_leave_no_mark() {
        assert_eq!(shown(b"ab\x08c\td\x00\x07\x7fe"), "ac      de");
        assert_eq!(shown(b"abc\rx"), "xbc");
    }

    #[test]
    fn text_may_come_a_byte_at_a_time() {
        let mut grid = Grid::new(4, 1);
        let mut parser = Parser::default();
        for byte in "\x1b[1m\u{20ac}\x1b]0;a;b\x07z".bytes() {
            parser.advance(&mut grid, &[byte]);
        }
        let (_, _, first) = grid.next_stale(&mut 9).unwrap();
        let (_, _, second) = grid.next_stale(&mut 9).unwrap();
        assert_eq!((first.symbol(), second.symbol()), (b'?', b'z'));
    }
}
