//! Pictures of symbols: letters from a font, lines and blocks by rule, so that they meet.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;
/// Pixels of a cell.
pub(crate) const CELL_WIDTH: usize = get_raster_width(WEIGHT, HEIGHT);
/// Lines of a cell.
pub(crate) const CELL_HEIGHT: usize = HEIGHT.val();

/// One cell, row by row, 0 to 255.
pub(crate) type Pixels = [[u8; CELL_WIDTH]; CELL_HEIGHT];

/// The picture of a symbol; a question mark for those that have none.
pub(crate) fn picture(symbol: char) -> Pixels {
    let mut pixels = [[0; CELL_WIDTH]; CELL_HEIGHT];
    if symbol == ' ' {
        return pixels;
    }
    if let Some(arms) = arms(symbol) {
        draw_arms(&mut pixels, arms);
    } else if let Some(block) = block(symbol) {
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = if block(x, y) { 255 } else { 0 };
            }
        }
    } else {
        let raster = get_raster(replaced(symbol), WEIGHT, HEIGHT)
            .or_else(|| get_raster('?', WEIGHT, HEIGHT));
        if let Some(raster) = raster {
            let rows = raster.pixels().chunks_exact(CELL_WIDTH);
            for (row, from) in pixels.iter_mut().zip(rows) {
                row.copy_from_slice(from);
            }
        }
    }
    pixels
}

/// Symbols that the font does not have, by those that look like them.
fn replaced(symbol: char) -> char {
    match symbol {
        '→' | '►' | '▶' => '>',
        '←' | '◄' | '◀' => '<',
        '↑' | '▲' => '^',
        '↓' | '▼' => 'v',
        '•' | '∙' | '◆' | '♦' => '*',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        '–' | '—' => '-',
        '≤' => '<',
        '≥' => '>',
        symbol => symbol,
    }
}

/// Which arms a line symbol has: left, right, up, down.
type Arms = [bool; 4];

fn arms(symbol: char) -> Option<Arms> {
    let arms = match symbol {
        '─' | '━' | '═' => "lr",
        '│' | '┃' | '║' => "ud",
        '┌' | '┏' | '╔' | '╒' | '╓' | '╭' => "rd",
        '┐' | '┓' | '╗' | '╕' | '╖' | '╮' => "ld",
        '└' | '┗' | '╚' | '╘' | '╙' | '╰' => "ru",
        '┘' | '┛' | '╝' | '╛' | '╜' | '╯' => "lu",
        '├' | '┣' | '╠' | '╞' | '╟' => "rud",
        '┤' | '┫' | '╣' | '╡' | '╢' => "lud",
        '┬' | '┳' | '╦' | '╤' | '╥' => "lrd",
        '┴' | '┻' | '╩' | '╧' | '╨' => "lru",
        '┼' | '╋' | '╬' | '╪' | '╫' => "lrud",
        _ => return None,
    };
    Some(['l', 'r', 'u', 'd'].map(|arm| arms.contains(arm)))
}

fn draw_arms(pixels: &mut Pixels, [left, right, up, down]: Arms) {
    let (middle_x, middle_y) = (CELL_WIDTH / 2, CELL_HEIGHT / 2);
    for (y, row) in pixels.iter_mut().enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let is_across = y == middle_y && (left && x <= middle_x || right && x >= middle_x);
            let is_along = x == middle_x && (up && y <= middle_y || down && y >= middle_y);
            if is_across || is_along {
                *pixel = 255;
            }
        }
    }
}

/// Returns the function that tells whether a block symbol has ink at a pixel.
fn block(symbol: char) -> Option<fn(usize, usize) -> bool> {
    Some(match symbol {
        '█' => |_, _| true,
        '▀' => |_, y| y < CELL_HEIGHT / 2,
        '▄' => |_, y| y >= CELL_HEIGHT / 2,
        '▌' => |x, _| x < CELL_WIDTH / 2,
        '▐' => |x, _| x >= CELL_WIDTH / 2,
        '░' => |x, y| x % 2 == 0 && (x / 2 + y) % 2 == 0,
        '▒' => |x, y| (x + y) % 2 == 0,
        '▓' => |x, y| x % 2 == 0 || (x / 2 + y) % 2 == 0,
        '■' => |x, y| x > 0 && x + 1 < CELL_WIDTH && (4..12).contains(&y),
        _ => return None,
    })
}
