//! Registers behind an index.

use core::fmt;
use device::BadState;
use serde::{Deserialize, Serialize};

/// The most a set has: what serde derives for arrays.
const ROOM: usize = 32;

/// State of a set that is saved.
#[derive(Serialize, Deserialize)]
pub(super) struct IndexedState {
    index: u8,
    values: [u8; ROOM],
}

/// A set of registers, of which the index chooses one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) index: u8,
    /// The bits of the index that choose: wiring.
    mask: u8,
    /// Number of registers: wiring.
    count: u8,
    pub(super) values: [u8; ROOM],
}

impl Indexed {
    /// Registers with these values, chosen by the bits of `mask`.
    pub(super) fn new(mask: u8, values: &[u8]) -> Self {
        let mut all = [0; ROOM];
        for (to, from) in all.iter_mut().zip(values) {
            *to = *from;
        }
        Self {
            index: 0,
            mask,
            count: values.len().min(ROOM) as u8,
            values: all,
        }
    }

    pub(super) const fn state(&self) -> IndexedState {
        let Self {
            index,
            mask: _,
            count: _,
            values,
        } = *self;
        IndexedState { index, values }
    }

    /// Returns it in another state.
    pub(super) fn restored(&self, state: IndexedState) -> Result<Self, BadState> {
        let IndexedState { index, values } = state;
        let mut behind = values.iter().skip(usize::from(self.count));
        BadState::unless(
            behind.all(|value| *value == 0),
            "a register holds something that is not there",
        )?;
        Ok(Self {
            index,
            values,
            ..*self
        })
    }

    /// Which one is chosen; it need not exist.
    pub(super) const fn register(&self) -> u8 {
        self.index & self.mask
    }

    /// The chosen one; zero if there is none.
    pub(super) fn get(&self) -> u8 {
        let at = usize::from(self.register());
        self.values.get(at).copied().unwrap_or(0)
    }

    /// Sets the chosen one, if it exists.
    pub(super) fn set(&mut self, value: u8) {
        let at = self.register();
        if at < self.count
            && let Some(register) = self.values.get_mut(usize::from(at))
        {
            *register = value;
        }
    }
}

impl fmt::Display for Indexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:02x}]", self.register())?;
        let values = self.values.iter().take(usize::from(self.count));
        values
            .into_iter()
            .try_for_each(|value| write!(f, " {value:02x}"))
    }
}
