//! The palette: 256 colours of three times six bits.

use device::BadState;
use serde::{Deserialize, Serialize};

/// Rows and columns, as serde derives no array of 256.
const SIDE: usize = 16;

/// Six bits.
const COLOUR: u8 = 0x3f;

/// The digital-to-analog converter with its palette.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dac {
    pub(super) mask: u8,
    read_index: u8,
    pub(super) write_index: u8,
    /// Which of red, green and blue comes next.
    component: u8,
    is_reading: bool,
    colours: [[[u8; 3]; SIDE]; SIDE],
}

impl Dac {
    /// The palette of text mode: the 64 colours of an EGA, bits 2 to 0 of the number for the strong red, green and blue, bits 5 to
    /// 3 for the weak ones.
    pub(super) fn new() -> Self {
        let mut colours = [[[0; 3]; SIDE]; SIDE];
        for (number, colour) in colours.iter_mut().flatten().take(64).enumerate() {
            for (component, value) in colour.iter_mut().enumerate() {
                let strong = number >> (2 - component) & 1;
                let weak = number >> (5 - component) & 1;
                *value = strong as u8 * 0x2a + weak as u8 * 0x15;
            }
        }
        Self {
            mask: 0xff,
            read_index: 0,
            write_index: 0,
            component: 0,
            is_reading: false,
            colours,
        }
    }

    /// Checks one that was saved.
    pub(super) fn check(&self) -> Result<(), BadState> {
        let mut components = self.colours.iter().flatten().flatten();
        BadState::unless(
            self.component < 3 && components.all(|component| component & !COLOUR == 0),
            "the palette has other colours than it can have",
        )
    }

    pub(super) fn start_reading(&mut self, index: u8) {
        (self.read_index, self.component, self.is_reading) = (index, 0, true);
    }

    pub(super) fn start_writing(&mut self, index: u8) {
        (self.write_index, self.component, self.is_reading) = (index, 0, false);
    }

    /// Returns what 0x3C7 reads as: 3 after a reading index, 0 after a writing one.
    pub(super) fn state(&self) -> u8 {
        if self.is_reading { 3 } else { 0 }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "two halves of a byte index 16 rows of 16, a remainder of 3 indexes 3"
    )]
    fn at(&mut self, index: u8) -> &mut u8 {
        let colour = &mut self.colours[usize::from(index >> 4)][usize::from(index & 15)];
        &mut colour[usize::from(self.component % 3)]
    }

    /// Moves on to the next component and returns whether the colour is complete.
    fn next_component(&mut self) -> bool {
        self.component = (self.component + 1) % 3;
        self.component == 0
    }

    pub(super) fn read(&mut self) -> u8 {
        let value = *self.at(self.read_index);
        if self.next_component() {
            self.read_index = self.read_index.wrapping_add(1);
        }
        value
    }

    pub(super) fn write(&mut self, value: u8) {
        *self.at(self.write_index) = value & COLOUR;
        if self.next_component() {
            self.write_index = self.write_index.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_colours_than_there_are_are_refused() {
        let dac = |change: fn(&mut Dac)| {
            let mut dac = Dac::new();
            change(&mut dac);
            dac.check()
        };
        assert!(dac(|dac| dac.component = 2).is_ok());
        assert!(dac(|dac| dac.component = 3).is_err());
        assert!(dac(|dac| dac.colours[9][9][1] = 0x40).is_err());
    }
}
