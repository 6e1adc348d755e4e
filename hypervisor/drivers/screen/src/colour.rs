//! Colours as pixels.

use terminal::{Attributes, Colour, Style};

/// Red, green and blue, 0 to 255 each.
pub type Rgb = [u8; 3];

/// The plain colours and the bright ones, as PCs show them.
const BASE: [Rgb; 16] = [
    [0, 0, 0],
    [0xaa, 0, 0],
    [0, 0xaa, 0],
    [0xaa, 0x55, 0],
    [0, 0, 0xaa],
    [0xaa, 0, 0xaa],
    [0, 0xaa, 0xaa],
    [0xaa, 0xaa, 0xaa],
    [0x55, 0x55, 0x55],
    [0xff, 0x55, 0x55],
    [0x55, 0xff, 0x55],
    [0xff, 0xff, 0x55],
    [0x55, 0x55, 0xff],
    [0xff, 0x55, 0xff],
    [0x55, 0xff, 0xff],
    [0xff, 0xff, 0xff],
];
const INK: Rgb = [0xe0, 0xe0, 0xe0];
const PAPER: Rgb = [0, 0, 0];

/// Ink and paper of a cell.
pub(crate) fn of(attributes: &Attributes, is_cursor: bool) -> (Rgb, Rgb) {
    let style = attributes.style;
    let ink = match attributes.ink {
        Colour::Indexed(index @ 0..8) if style.contains(Style::BOLD) => {
            rgb(Colour::Indexed(index + 8), INK)
        }
        Colour::Default if style.contains(Style::BOLD) => [0xff; 3],
        colour @ (Colour::Default | Colour::Indexed(_) | Colour::Rgb(..)) => rgb(colour, INK),
    };
    let ink = if style.contains(Style::FAINT) {
        ink.map(|part| part / 2)
    } else {
        ink
    };
    let paper = rgb(attributes.paper, PAPER);
    let ink = if style.contains(Style::HIDDEN) {
        paper
    } else {
        ink
    };
    if style.contains(Style::REVERSE) != is_cursor {
        (paper, ink)
    } else {
        (ink, paper)
    }
}

/// The colours above the 16 are a cube of 6 by 6 by 6 and 24 greys. (XTerm Control Sequences)
fn rgb(colour: Colour, default: Rgb) -> Rgb {
    match colour {
        Colour::Default => default,
        Colour::Rgb(red, green, blue) => [red, green, blue],
        Colour::Indexed(index @ 16..232) => {
            let index = index - 16;
            let part = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            [part(index / 36), part(index / 6 % 6), part(index % 6)]
        }
        Colour::Indexed(index @ 232..) => [8 + 10 * (index - 232); 3],
        Colour::Indexed(index) => BASE.get(usize::from(index)).copied().unwrap_or(default),
    }
}

/// Ink over paper, by how much ink there is: 0 to 255.
#[must_use]
pub fn blend(ink: Rgb, paper: Rgb, intensity: u8) -> Rgb {
    let over = u16::from(intensity);
    let mix = |ink: u8, paper: u8| {
        let mixed = u16::from(ink) * over + u16::from(paper) * (255 - over);
        (mixed / 255) as u8
    };
    let ([red, green, blue], [under_red, under_green, under_blue]) = (ink, paper);
    [
        mix(red, under_red),
        mix(green, under_green),
        mix(blue, under_blue),
    ]
}
