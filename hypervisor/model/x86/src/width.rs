//! The sizes an access can have.

use serde::{Deserialize, Serialize};

/// Width of one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Word,
    /// 32 bits.
    Dword,
    /// 64 bits.
    Qword,
}

impl Width {
    /// The width of `bytes` bytes, if there is one.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            8 => Some(Self::Qword),
            _ => None,
        }
    }

    /// Bytes in it: 1, 2, 4 or 8.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Dword => 4,
            Self::Qword => 8,
        }
    }

    /// All ones of this width: what an empty bus answers.
    #[must_use]
    pub const fn ones(self) -> u64 {
        match self {
            Self::Byte => 0xff,
            Self::Word => 0xffff,
            Self::Dword => 0xffff_ffff,
            Self::Qword => u64::MAX,
        }
    }

    /// `value` cut to this width.
    #[must_use]
    pub const fn truncate(self, value: u64) -> u64 {
        value & self.ones()
    }

    /// Returns what a register holding `old` holds after this width of it is written with `value`.
    ///
    /// A doubleword clears the upper half; a byte or word leaves the rest alone. (Intel SDM vol. 1 3.4.1.1)
    #[must_use]
    pub const fn merge(self, old: u64, value: u64) -> u64 {
        match self {
            Self::Byte | Self::Word => (old & !self.ones()) | (value & self.ones()),
            Self::Dword | Self::Qword => value & self.ones(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubleword_clears_the_upper_half_and_a_word_does_not() {
        assert_eq!(Width::Dword.merge(u64::MAX, 1), 1);
        assert_eq!(Width::Word.merge(u64::MAX, 1), 0xffff_ffff_ffff_0001);
    }
}
