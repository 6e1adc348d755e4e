//! A text console on a linear framebuffer.
//!
//! Text goes into a grid of cells at once; drawing follows in small steps, [`Console::draw`], and only cells whose
//! picture is out of date are drawn. So a flood of text costs what its last screenful costs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod grid;
mod text;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use grid::Grid;
use text::Parser;

/// Where pixels go. Intensities only: the console is white on black.
pub trait Canvas {
    /// Pixels in a line.
    fn width(&self) -> usize;
    /// Lines.
    fn height(&self) -> usize;
    /// Draws a run of pixels, 0 (black) to 255 (white), from (`x`, `y`) to the right. What lies outside is dropped.
    fn put(&mut self, x: usize, y: usize, intensities: &[u8]);
}

const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;
const CELL_WIDTH: usize = get_raster_width(WEIGHT, HEIGHT);
const CELL_HEIGHT: usize = HEIGHT.val();

/// How many cells may be looked at for each that may be drawn: looking is that much cheaper.
const LOOKS_PER_CELL: usize = 32;

/// A console.
pub struct Console<C> {
    canvas: C,
    grid: Grid,
    parser: Parser,
    glyphs: [&'static [u8]; GLYPHS],
}

impl<C: Canvas> Console<C> {
    /// An empty console that fills the canvas. What the canvas showed before is overwritten as it is drawn.
    pub fn new(canvas: C) -> Self {
        let columns = canvas.width() / CELL_WIDTH;
        let rows = canvas.height() / CELL_HEIGHT;
        Self {
            canvas,
            grid: Grid::new(columns, rows),
            parser: Parser::default(),
            glyphs: core::array::from_fn(glyph),
        }
    }

    /// Takes text. CR, LF, BS and TAB move as on a terminal (LF alone goes to the start of the next line),
    /// ANSI sequences are swallowed, other bytes that are not printable ASCII show as `?`.
    pub fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.grid, bytes);
    }

    /// Draws at most `budget` cells; returns whether there may be cells left.
    pub fn draw(&mut self, budget: usize) -> bool {
        let mut looks = budget.saturating_mul(LOOKS_PER_CELL);
        for _ in 0..budget {
            let Some((column, row, cell)) = self.grid.next_stale(&mut looks) else {
                break;
            };
            let symbol = usize::from(cell.symbol().saturating_sub(FIRST_SYMBOL));
            let glyph = self.glyphs.get(symbol).copied().unwrap_or_default();
            let (x, y) = (column * CELL_WIDTH, row * CELL_HEIGHT);
            draw_cell(&mut self.canvas, x, y, glyph, cell.is_cursor());
        }
        self.grid.has_stale()
    }
}

/// The printable ASCII symbols, space first.
const FIRST_SYMBOL: u8 = b' ';
const GLYPHS: usize = 95;

/// The picture of the `index`th symbol, row by row.
fn glyph(index: usize) -> &'static [u8] {
    let symbol = char::from(FIRST_SYMBOL.saturating_add(index as u8));
    get_raster(symbol, WEIGHT, HEIGHT).map_or(&[], |glyph| glyph.pixels())
}

fn draw_cell(canvas: &mut impl Canvas, x: usize, y: usize, glyph: &[u8], is_cursor: bool) {
    for (line, row) in glyph.chunks_exact(CELL_WIDTH).enumerate() {
        if is_cursor {
            let mut inverse = [0xff; CELL_WIDTH];
            for (pixel, intensity) in inverse.iter_mut().zip(row) {
                *pixel ^= intensity;
            }
            canvas.put(x, y + line, &inverse);
        } else {
            canvas.put(x, y + line, row);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    struct Picture {
        width: usize,
        pixels: Vec<u8>,
    }

    impl Canvas for &mut Picture {
        fn width(&self) -> usize {
            self.width
        }
        fn height(&self) -> usize {
            self.pixels.len() / self.width
        }
        fn put(&mut self, x: usize, y: usize, intensities: &[u8]) {
            let start = y * self.width + x;
            self.pixels[start..start + intensities.len()].copy_from_slice(intensities);
        }
    }

    #[test]
    fn drawing_is_bounded_and_ends() {
        let mut picture = Picture {
            width: CELL_WIDTH * 4,
            pixels: std::vec![7; CELL_WIDTH * 4 * CELL_HEIGHT * 2],
        };
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
        assert!(picture.pixels.iter().any(|&pixel| pixel > 200));
        assert!(!picture.pixels.contains(&7), "everything was drawn over");
    }

    #[test]
    fn a_canvas_smaller_than_a_letter_is_no_problem() {
        let mut picture = Picture {
            width: 3,
            pixels: std::vec![0; 9],
        };
        let mut console = Console::new(&mut picture);
        console.write(b"hello\n\tworld\x08");
        assert!(!console.draw(100));
    }
}
