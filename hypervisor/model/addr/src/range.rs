//! A run of guest-physical addresses.

use crate::Gpa;
use core::fmt;

/// A non-wrapping run of guest-physical addresses: a start and a length in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct GpaRange {
    start: Gpa,
    len_bytes: u64,
}

impl GpaRange {
    /// A range of `len_bytes` bytes from `start`, or `None` when it would wrap.
    #[must_use]
    pub const fn new(start: Gpa, len_bytes: u64) -> Option<Self> {
        match start.checked_add(len_bytes) {
            Some(_) => Some(Self { start, len_bytes }),
            None => None,
        }
    }

    /// First address.
    #[must_use]
    pub const fn start(&self) -> Gpa {
        self.start
    }

    /// First address behind the range.
    #[must_use]
    pub const fn end(&self) -> Gpa {
        self.start.wrapping_add(self.len_bytes)
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Returns whether there is no byte in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Returns whether `at` lies inside.
    #[must_use]
    pub const fn contains(&self, at: Gpa) -> bool {
        match at.offset_from(self.start) {
            Some(offset) => offset < self.len_bytes,
            None => false,
        }
    }

    /// Returns whether the two ranges share a byte.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

impl fmt::Debug for GpaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_knows_its_ends() {
        let range = GpaRange::new(Gpa::new(0x1000), 0x1000).expect("does not wrap");
        assert!(range.contains(Gpa::new(0x1fff)));
        assert!(!range.contains(Gpa::new(0x2000)));
        assert!(!range.contains(Gpa::new(0xfff)));
        assert_eq!(GpaRange::new(Gpa::new(u64::MAX), 2), None);
    }
}
