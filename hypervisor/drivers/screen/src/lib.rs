//! A terminal on a linear framebuffer, with a status line below.
//!
//! Text goes into a grid of cells at once; drawing follows in small steps, [`Console::draw`], and only cells whose
//! picture is out of date are drawn. So a flood of text costs what its last screenful costs.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod colour;
mod framebuffer;
mod glyph;
mod grid;
mod packed;
mod text;

pub use colour::{Rgb, blend};
pub use framebuffer::{Framebuffer, PixelLayout, PixelOrder};
use glyph::{CELL_HEIGHT, CELL_WIDTH};
use grid::{Cell, Grid};
use terminal::{Attributes, Style};
use text::{STATUS_STYLE, Terminal};

/// Where pixels go.
pub trait Canvas {
    /// Pixels in a line.
    fn width(&self) -> usize;
    /// Lines.
    fn height(&self) -> usize;
    /// Draws a run of pixels from (`x`, `y`) to the right. What lies outside is dropped.
    fn put(&mut self, x: usize, y: usize, pixels: &[Rgb]);
}

/// Number of cells that may be looked at for each that may be drawn: looking is that much cheaper.
const LOOKS_PER_CELL: usize = 32;

/// A console.
pub struct Console<C> {
    canvas: C,
    terminal: Terminal,
}

impl<C: Canvas> Console<C> {
    /// An empty console that fills the canvas. What the canvas showed before is overwritten as it is drawn.
    pub fn new(canvas: C) -> Self {
        let columns = canvas.width() / CELL_WIDTH;
        let rows = canvas.height() / CELL_HEIGHT;
        Self {
            canvas,
            terminal: Terminal::new(Grid::new(columns, rows)),
        }
    }

    /// Takes text and the sequences of a terminal; what is not known of those, vanishes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.terminal.write(bytes);
    }

    /// Writes the status line, the last row. What does not fit is cut off.
    pub fn set_status(&mut self, text: &str) {
        let attributes = Attributes {
            style: STATUS_STYLE,
            ..Attributes::default()
        };
        self.terminal.grid().set_status(text, attributes);
    }

    /// Draws at most `budget` cells; returns whether there may be cells left.
    pub fn draw(&mut self, budget: usize) -> bool {
        let mut looks = budget.saturating_mul(LOOKS_PER_CELL);
        for _ in 0..budget {
            let Some((column, row, cell)) = self.terminal.grid().next_stale(&mut looks) else {
                break;
            };
            draw_cell(
                &mut self.canvas,
                column * CELL_WIDTH,
                row * CELL_HEIGHT,
                &cell,
            );
        }
        self.terminal.grid().has_stale()
    }
}

fn draw_cell(canvas: &mut impl Canvas, x: usize, y: usize, cell: &Cell) {
    let (ink, paper) = colour::of(&cell.attributes, cell.is_cursor);
    let is_underlined = cell.attributes.style.contains(Style::UNDERLINE);
    for (line, row) in glyph::picture(cell.symbol).iter().enumerate() {
        let is_line = is_underlined && line + 2 == CELL_HEIGHT;
        let pixels = row.map(|intensity| match intensity {
            _ if is_line => ink,
            0 => paper,
            255 => ink,
            some => blend(ink, paper, some),
        });
        canvas.put(x, y + line, &pixels);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    struct Picture {
        width: usize,
        pixels: Vec<Rgb>,
    }

    impl Canvas for &mut Picture {
        fn width(&self) -> usize {
            self.width
        }
        fn height(&self) -> usize {
            self.pixels.len() / self.width
        }
        fn put(&mut self, x: usize, y: usize, pixels: &[Rgb]) {
            let start = y * self.width + x;
            self.pixels[start..start + pixels.len()].copy_from_slice(pixels);
        }
    }

    fn picture(columns: usize, rows: usize) -> Picture {
        Picture {
            width: CELL_WIDTH * columns,
            pixels: std::vec![[1, 2, 3]; CELL_WIDTH * columns * CELL_HEIGHT * rows],
        }
    }

    #[test]
    fn drawing_is_bounded_and_ends() {
        let mut picture = picture(4, 2);
        let mut console = Console::new(&mut picture);
        console.write(b"ab");
        assert!(console.draw(3));
        assert!(!console.draw(100));
        assert!(!console.draw(1));
        console.write(b"\rab");
        assert!(
            !console.draw(2),
            "same text again: at most the cursor moved"
        );
        assert!(picture.pixels.iter().any(|pixel| pixel[0] > 200));
        assert!(
            !picture.pixels.contains(&[1, 2, 3]),
            "everything was drawn over"
        );
    }

    #[test]
    fn colours_are_seen() {
        let mut picture = picture(2, 2);
        let mut console = Console::new(&mut picture);
        console.write(b"\x1b[44;1;33m\xe2\x96\x88\x1b[7m \x1b[?25l");
        while console.draw(100) {}
        assert_eq!(picture.pixels[0], [0xff, 0xff, 0x55]);
        assert_eq!(picture.pixels[CELL_WIDTH], [0xff, 0xff, 0x55]);
    }

    #[test]
    fn lines_meet() {
        let rows = glyph::picture('│');
        assert!(rows.iter().all(|row| row.contains(&255)));
        assert!(
            glyph::picture('─')
                .iter()
                .any(|row| row.iter().all(|pixel| *pixel == 255))
        );
        assert_ne!(glyph::picture('┌'), glyph::picture('┘'));
        // Known letters are not question marks, unknown ones are.
        assert_ne!(glyph::picture('é'), glyph::picture('?'));
        assert_eq!(glyph::picture('世'), glyph::picture('?'));
    }

    #[test]
    fn a_canvas_smaller_than_a_letter_is_no_problem() {
        let mut picture = Picture {
            width: 3,
            pixels: std::vec![[0; 3]; 9],
        };
        let mut console = Console::new(&mut picture);
        console.write(b"hello\n\tworld\x08");
        console.set_status("status");
        assert!(!console.draw(100));
    }
}
