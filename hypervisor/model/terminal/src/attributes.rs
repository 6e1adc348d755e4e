//! Look of symbols. (ECMA-48 8.3.117, SGR)

use crate::sequence::Sequence;
use bitflags::bitflags;
use vte::Params;

/// A colour of ink or paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Colour that the terminal has by itself.
    #[default]
    Default,
    /// 0 to 7 the plain ones, 8 to 15 the bright ones, then xterm's cube and greys.
    Indexed(u8),
    /// Red, green and blue.
    Rgb(u8, u8, u8),
}

bitflags! {
    /// Properties of a symbol besides colours.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Style: u8 {
        /// Bold, or bright.
        const BOLD = 1 << 0;
        /// Faint.
        const FAINT = 1 << 1;
        /// Italic.
        const ITALIC = 1 << 2;
        /// Underlined.
        const UNDERLINE = 1 << 3;
        /// Blinking.
        const BLINK = 1 << 4;
        /// Ink and paper change places.
        const REVERSE = 1 << 5;
        /// Not shown.
        const HIDDEN = 1 << 6;
        /// Struck out.
        const STRUCK = 1 << 7;
    }
}

/// One wish of an SGR sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sgr {
    /// Everything as it was at the start.
    Reset,
    /// This style on.
    On(Style),
    /// These styles off.
    Off(Style),
    /// Colour of the ink.
    Ink(Colour),
    /// Colour of the paper.
    Paper(Colour),
}

impl Sgr {
    /// Calls `each` for every wish in the parameters that is understood; others, such as other fonts, are left out.
    pub fn parse(params: &Params, mut each: impl FnMut(Self)) {
        let mut params = params.iter();
        while let Some(param) = params.next() {
            let [code, rest @ ..] = param else { continue };
            let wish = match *code {
                0 => Self::Reset,
                1 => Self::On(Style::BOLD),
                2 => Self::On(Style::FAINT),
                3 => Self::On(Style::ITALIC),
                4 if rest.first() == Some(&0) => Self::Off(Style::UNDERLINE),
                4 | 21 => Self::On(Style::UNDERLINE),
                5 | 6 => Self::On(Style::BLINK),
                7 => Self::On(Style::REVERSE),
                8 => Self::On(Style::HIDDEN),
                9 => Self::On(Style::STRUCK),
                22 => Self::Off(Style::BOLD | Style::FAINT),
                23 => Self::Off(Style::ITALIC),
                24 => Self::Off(Style::UNDERLINE),
                25 => Self::Off(Style::BLINK),
                27 => Self::Off(Style::REVERSE),
                28 => Self::Off(Style::HIDDEN),
                29 => Self::Off(Style::STRUCK),
                30..=37 => Self::Ink(Colour::Indexed((code - 30) as u8)),
                39 => Self::Ink(Colour::Default),
                40..=47 => Self::Paper(Colour::Indexed((code - 40) as u8)),
                49 => Self::Paper(Colour::Default),
                90..=97 => Self::Ink(Colour::Indexed((code - 90 + 8) as u8)),
                100..=107 => Self::Paper(Colour::Indexed((code - 100 + 8) as u8)),
                38 | 48 => {
                    let colour = if rest.is_empty() {
                        // Semicolons: the colour is in the parameters that follow.
                        let mut next = || params.next().and_then(|param| param.first().copied());
                        match next() {
                            Some(5) => next().and_then(indexed),
                            Some(2) => rgb(next(), next(), next()),
                            _ => None,
                        }
                    } else {
                        colour_in_colons(rest)
                    };
                    match (colour, *code) {
                        (Some(colour), 38) => Self::Ink(colour),
                        (Some(colour), _) => Self::Paper(colour),
                        (None, _) => continue,
                    }
                }
                _ => continue,
            };
            each(wish);
        }
    }

    /// Writes it as parameters.
    fn encode(self, sequence: &mut Sequence) {
        let styles = |styles: Style, codes: [u16; 8], sequence: &mut Sequence| {
            let mut last = 0;
            for (bit, code) in codes.into_iter().enumerate() {
                if styles.bits() & 1 << bit != 0 && code != last {
                    sequence.parameter(code);
                    last = code;
                }
            }
        };
        match self {
            Self::Reset => sequence.parameter(0),
            Self::On(style) => styles(style, [1, 2, 3, 4, 5, 7, 8, 9], sequence),
            Self::Off(style) => styles(style, [22, 22, 23, 24, 25, 27, 28, 29], sequence),
            Self::Ink(colour) => encode_colour(colour, 30, sequence),
            Self::Paper(colour) => encode_colour(colour, 40, sequence),
        }
    }
}

fn encode_colour(colour: Colour, base: u16, sequence: &mut Sequence) {
    match colour {
        Colour::Default => sequence.parameter(base + 9),
        Colour::Indexed(index @ 0..8) => sequence.parameter(base + u16::from(index)),
        Colour::Indexed(index @ 8..16) => sequence.parameter(base + 60 + u16::from(index) - 8),
        Colour::Indexed(index) => {
            for value in [base + 8, 5, index.into()] {
                sequence.parameter(value);
            }
        }
        Colour::Rgb(red, green, blue) => {
            for value in [base + 8, 2, red.into(), green.into(), blue.into()] {
                sequence.parameter(value);
            }
        }
    }
}

fn indexed(value: u16) -> Option<Colour> {
    u8::try_from(value).ok().map(Colour::Indexed)
}

fn rgb(red: Option<u16>, green: Option<u16>, blue: Option<u16>) -> Option<Colour> {
    let part = |value: Option<u16>| value.and_then(|value| u8::try_from(value).ok());
    Some(Colour::Rgb(part(red)?, part(green)?, part(blue)?))
}

/// `38:5:n`, `38:2:r:g:b`, and `38:2:space:r:g:b`. (ISO 8613-6 13.1.8)
fn colour_in_colons(rest: &[u16]) -> Option<Colour> {
    match *rest {
        [5, index, ..] => indexed(index),
        [2, red, green, blue] | [2, _, red, green, blue, ..] => {
            rgb(Some(red), Some(green), Some(blue))
        }
        _ => None,
    }
}

/// Look of the next symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bold, reverse and so on.
    pub style: Style,
    /// Colour of the symbol.
    pub ink: Colour,
    /// Colour behind it.
    pub paper: Colour,
}

impl Attributes {
    /// Follows one wish.
    pub fn set(&mut self, wish: Sgr) {
        match wish {
            Sgr::Reset => *self = Self::default(),
            Sgr::On(style) => self.style.insert(style),
            Sgr::Off(style) => self.style.remove(style),
            Sgr::Ink(colour) => self.ink = colour,
            Sgr::Paper(colour) => self.paper = colour,
        }
    }

    /// Follows a sequence, and writes what was understood of it.
    pub(crate) fn follow(&mut self, params: &Params) -> Sequence {
        let mut sequence = Sequence::csi(b"");
        Sgr::parse(params, |wish| {
            self.set(wish);
            wish.encode(&mut sequence);
        });
        sequence
    }

    /// The sequence that makes a terminal draw so, whatever it did before.
    pub(crate) fn sequence(&self) -> Sequence {
        let Self { style, ink, paper } = *self;
        let mut sequence = Sequence::csi(b"");
        for wish in [Sgr::Reset, Sgr::On(style), Sgr::Ink(ink), Sgr::Paper(paper)] {
            wish.encode(&mut sequence);
        }
        sequence
    }
}
