//! A cell in four bytes: a screen has ten thousand of them, twice. How a cell looks is a number in a list of looks; few of
//! them are on a screen at once.

use alloc::vec::Vec;
use terminal::Attributes;

/// A packed cell: bits 0 to 15 hold the symbol, 16 to 30 the number of its look, 31 whether the cursor is there. Those of one
/// grid that are equal look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(u32);

const LOOK_SHIFT: u32 = 16;
const CURSOR: u32 = 1 << 31;

impl Packed {
    /// Without the cursor. Symbols beyond the basic plane, for which there is no picture, become U+FFFD.
    pub(crate) fn new(symbol: char, look: Look) -> Self {
        let symbol = u16::try_from(u32::from(symbol)).unwrap_or(0xfffd);
        Self(u32::from(symbol) | u32::from(look.0) << LOOK_SHIFT)
    }

    pub(crate) fn symbol(self) -> char {
        char::from_u32(self.0 & 0xffff).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    pub(crate) fn look(self) -> Look {
        Look(((self.0 & !CURSOR) >> LOOK_SHIFT) as u16)
    }

    pub(crate) fn is_cursor(self) -> bool {
        self.0 & CURSOR != 0
    }

    /// The same with the cursor in it, or without.
    pub(crate) fn with_cursor(self, is_cursor: bool) -> Self {
        Self(if is_cursor {
            self.0 | CURSOR
        } else {
            self.0 & !CURSOR
        })
    }
}

/// The number of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(u16);

/// Maximum number of looks at once. With more, in a picture of true colours, some cells look plain.
pub(crate) const LIMIT: usize = 1024;

/// The looks that cells have.
pub(crate) struct Looks {
    /// The first is the plain one and always there; none where a number is free.
    list: Vec<Option<Attributes>>,
    /// The one that was asked for last, as the next cell's is most often the same.
    last: Look,
    /// Number of times there was no room.
    refused: usize,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::from([Some(Attributes::default())]),
            last: Look::default(),
            refused: 0,
        }
    }

    /// Returns the attributes that a look's number stands for.
    pub(crate) fn attributes(&self, look: Look) -> Attributes {
        let known = self.list.get(usize::from(look.0)).copied();
        known.flatten().unwrap_or_default()
    }

    /// The number of a look that is known.
    pub(crate) fn find(&mut self, attributes: Attributes) -> Option<Look> {
        let wanted = Some(attributes);
        if self.list.get(usize::from(self.last.0)) != Some(&wanted) {
            let at = self.list.iter().position(|known| *known == wanted)?;
            self.last = Look(at as u16);
        }
        Some(self.last)
    }

    /// Gives a new look a number; none when there are too many.
    pub(crate) fn add(&mut self, attributes: Attributes) -> Option<Look> {
        let free = self.list.iter().position(Option::is_none);
        let at = free.unwrap_or(self.list.len());
        match self.list.get_mut(at) {
            Some(place) => *place = Some(attributes),
            None if at < LIMIT => self.list.push(Some(attributes)),
            None => {
                self.refused += 1;
                return None;
            }
        }
        self.last = Look(at as u16);
        Some(self.last)
    }

    /// Returns whether it is time to check which looks are still in use: not for every cell of a
    /// picture that has too many.
    pub(crate) fn is_sweep_due(&self) -> bool {
        self.list.len() == LIMIT && !self.list.contains(&None) && self.refused.is_multiple_of(LIMIT)
    }

    /// Forgets all looks but the plain one and those of `cells`.
    pub(crate) fn sweep(&mut self, cells: impl Iterator<Item = Packed>) {
        let mut is_used = [false; LIMIT];
        is_used[0] = true;
        for cell in cells {
            if let Some(place) = is_used.get_mut(usize::from(cell.look().0)) {
                *place = true;
            }
        }
        for (place, is_used) in self.list.iter_mut().zip(is_used) {
            if !is_used {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal::Colour;

    fn red(red: u8, green: u8) -> Attributes {
        Attributes {
            ink: Colour::Rgb(red, green, 0),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_cell_comes_out_as_it_went_in() {
        for symbol in ['\0', ' ', 'ä', '█', '\u{ffff}'] {
            for look in [Look(0), Look(LIMIT as u16 - 1)] {
                let cell = Packed::new(symbol, look);
                for is_cursor in [false, true] {
                    let cell = cell.with_cursor(is_cursor);
                    assert_eq!(
                        (cell.symbol(), cell.look(), cell.is_cursor()),
                        (symbol, look, is_cursor)
                    );
                }
            }
        }
        assert_eq!(Packed::new('😀', Look(1)).symbol(), '\u{fffd}');
    }

    #[test]
    fn looks_that_no_cell_has_make_room_for_others() {
        let mut looks = Looks::new();
        assert_eq!(looks.find(Attributes::default()), Some(Look(0)));
        let numbers: Vec<Look> = (1..LIMIT)
            .filter_map(|n| looks.add(red(n as u8, (n >> 8) as u8)))
            .collect();
        assert_eq!(numbers.len(), LIMIT - 1);
        assert!(looks.is_sweep_due());
        assert_eq!(looks.add(red(0, 9)), None);
        assert!(!looks.is_sweep_due(), "not for each cell");
        let kept = numbers[6];
        looks.sweep([Packed::new('x', kept)].into_iter());
        assert_eq!(looks.attributes(kept), red(7, 0));
        assert_eq!(looks.find(red(8, 0)), None);
        let new = looks.add(red(0, 9)).expect("there is room again");
        assert_ne!(new, kept);
        assert_eq!(looks.attributes(new), red(0, 9));
        assert_eq!(looks.find(red(0, 9)), Some(new));
    }
}
