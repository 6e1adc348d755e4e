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
        Self::ALL[(encoding & 15) as usize]
    }

    /// Its encoding, 0 to 15.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
