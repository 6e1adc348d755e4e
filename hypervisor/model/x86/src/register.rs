//! General-purpose registers.

use serde::{Deserialize, Serialize};

/// A general-purpose register, numbered as in instruction encodings. (Intel SDM vol. 2 2.2.1.2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the architecture's")]
pub enum Gpr {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    R12 = 12,
    R13 = 13,
    R14 = 14,
    R15 = 15,
}

impl Gpr {
    /// All of them, in encoding order.
    pub const ALL: [Self; 16] = [
        Self::Rax,
        Self::Rcx,
        Self::Rdx,
        Self::Rbx,
        Self::Rsp,
        Self::Rbp,
        Self::Rsi,
        Self::Rdi,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
    ];

    /// The register with this encoding; only the low four bits count.
    #[must_use]
    pub const fn from_encoding(encoding: u8) -> Self {
        match encoding & 15 {
            0 => Self::Rax,
            1 => Self::Rcx,
            2 => Self::Rdx,
            3 => Self::Rbx,
            4 => Self::Rsp,
            5 => Self::Rbp,
            6 => Self::Rsi,
            7 => Self::Rdi,
            8 => Self::R8,
            9 => Self::R9,
            10 => Self::R10,
            11 => Self::R11,
            12 => Self::R12,
            13 => Self::R13,
            14 => Self::R14,
            _ => Self::R15,
        }
    }

    /// Returns what `all`, sorted by encoding, holds for this register.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an encoding is at most 15; a match on 16 places would compile to a jump table"
    )]
    pub const fn of<T>(self, all: &[T; 16]) -> &T {
        &all[self as usize]
    }

    /// Returns the place in `all`, sorted by encoding, that is this register's.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "as in `of`")]
    pub const fn of_mut<T>(self, all: &mut [T; 16]) -> &mut T {
        &mut all[self as usize]
    }

    /// Its encoding, 0 to 15.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_names_its_register_and_its_place() {
        let mut all = Gpr::ALL;
        for (encoding, reg) in (0..).zip(Gpr::ALL) {
            assert_eq!(reg.index(), usize::from(encoding));
            assert_eq!(Gpr::from_encoding(encoding), reg);
            assert_eq!(Gpr::from_encoding(encoding | 0xf0), reg);
            assert_eq!((*reg.of(&all), *reg.of_mut(&mut all)), (reg, reg));
        }
    }
}
