//! Physical ranges, and tables of equal records in them.

use crate::HandoffError;

/// A piece of physical memory. An empty one says "none".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysRange {
    /// The physical address of the first byte.
    pub start: u64,
    /// The size.
    pub len_bytes: u64,
}

impl PhysRange {
    /// Names the range of `len_bytes` from `start` on.
    #[must_use]
    pub const fn new(start: u64, len_bytes: u64) -> Self {
        Self { start, len_bytes }
    }

    /// Tells whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// The physical address one past the last byte, or `None` if the range wraps.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.start.checked_add(self.len_bytes)
    }
}

/// An array in physical memory: `count` records of `record_bytes` each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The physical address of the first record.
    pub start: u64,
    /// Number of records.
    pub count: u32,
    /// The size of one record.
    pub record_bytes: u32,
}

impl Table {
    /// The bytes all records occupy.
    #[must_use]
    pub const fn range(&self) -> PhysRange {
        // Two u32 factors cannot overflow a u64.
        PhysRange::new(self.start, self.count as u64 * self.record_bytes as u64)
    }

    pub(crate) fn check(
        &self,
        name: &'static str,
        record_bytes: usize,
        limit: u32,
    ) -> Result<(), HandoffError> {
        if self.count > limit {
            return Err(HandoffError::TooMany {
                table: name,
                count: self.count,
                limit,
            });
        }
        if self.count > 0 && (self.record_bytes as usize != record_bytes || self.start == 0) {
            return Err(HandoffError::BadTable(name));
        }
        self.range()
            .end()
            .map(|_| ())
            .ok_or(HandoffError::BadTable(name))
    }
}

/// Reads the little-endian `u64` at `at`; bytes that are not there read as zero.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Reads the little-endian `u32` at `at`; bytes that are not there read as zero.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Puts `bytes` into `record` from `at` on; what does not fit is left out, and every caller's layout fits.
pub(crate) fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = record.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
