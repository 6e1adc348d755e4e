//! Where a function sits: bus, device, function.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Bus, device and function in 16 bits, as requester ids and both doors have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bdf(u16);

impl Bdf {
    /// Bus `bus`, device `device` modulo 32, function `function` modulo 8.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self((bus as u16) << 8 | (device as u16 & 31) << 3 | function as u16 & 7)
    }

    /// The place with this requester id.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The requester id.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, function) = (self.0 >> 3 & 31, self.0 & 7);
        write!(f, "{:02x}:{device:02x}.{function}", self.0 >> 8)
    }
}
