//! Segment registers with their hidden parts, and descriptor-table registers.

use serde::{Deserialize, Serialize};

/// The segment registers an instruction can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the architecture's")]
pub enum SegmentRegister {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

impl SegmentRegister {
    /// Returns what `all`, sorted by encoding, holds for this register.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an encoding is at most 5; a match on 6 places would compile to a jump table"
    )]
    pub const fn of<T>(self, all: &[T; 6]) -> &T {
        &all[self as usize]
    }

    /// Returns the place in `all`, sorted by encoding, that is this register's.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "as in `of`")]
    pub const fn of_mut<T>(self, all: &mut [T; 6]) -> &mut T {
        &mut all[self as usize]
    }
}

/// Descriptor attributes, as bits 40 to 55 of a descriptor with the limit's four bits squeezed out: type 3:0, S 4,
/// DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. This is SVM's packing; VMX leaves a gap and has an unusable bit on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(pub u16);

impl Attributes {
    /// Present.
    pub const PRESENT: u16 = 1 << 7;
    /// Code or data, not system.
    pub const CODE_OR_DATA: u16 = 1 << 4;
    /// 64-bit code.
    pub const LONG: u16 = 1 << 9;
    /// Default size 32 bits.
    pub const DEFAULT_BIG: u16 = 1 << 10;
    /// Limit counts 4 KiB pages.
    pub const GRANULARITY: u16 = 1 << 11;

    /// Returns whether P is set; a register loaded with a null selector has it clear.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Returns whether L is set.
    #[must_use]
    pub const fn is_long(self) -> bool {
        self.0 & Self::LONG != 0
    }

    /// Returns whether D/B is set.
    #[must_use]
    pub const fn is_big(self) -> bool {
        self.0 & Self::DEFAULT_BIG != 0
    }

    /// The descriptor's privilege level, 0 to 3.
    #[must_use]
    pub const fn dpl(self) -> u8 {
        ((self.0 >> 5) & 3) as u8
    }
}

/// A segment register: the visible selector and the hidden descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Attributes.
    pub attributes: Attributes,
    /// Limit in bytes, granularity already applied.
    pub limit: u32,
    /// Linear base address.
    pub base: u64,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// Linear base address.
    pub base: u64,
    /// Size in bytes, less one.
    pub limit: u16,
}
