//! Where the parts of the image lie.

use crate::HandoffError;
use crate::range::{PhysRange, put, u32_at, u64_at};

/// Access that the pages of a segment permit; nothing is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protection {
    /// Constants.
    ReadOnly = 1,
    /// Code.
    ReadExecute = 2,
    /// Data.
    ReadWrite = 3,
}

/// A `PT_LOAD` segment of the image, in memory. One of zero size is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSegment {
    /// The virtual address of its first page.
    pub virt: u64,
    /// Where its pages are, contiguous; a multiple of 4 KiB long.
    pub range: PhysRange,
    /// Access that its pages permit.
    pub protection: Protection,
}

impl ImageSegment {
    /// The size of its record.
    pub const RECORD_BYTES: usize = 32;

    /// Writes it as a record.
    #[must_use]
    pub fn to_record(&self) -> [u8; Self::RECORD_BYTES] {
        let mut record = [0; Self::RECORD_BYTES];
        put(&mut record, 0, &self.virt.to_le_bytes());
        put(&mut record, 8, &self.range.start.to_le_bytes());
        put(&mut record, 16, &self.range.len_bytes.to_le_bytes());
        put(&mut record, 24, &(self.protection as u32).to_le_bytes());
        record
    }

    pub(crate) fn from_record(record: &[u8]) -> Result<Self, HandoffError> {
        let protection = match u32_at(record, 24) {
            1 => Protection::ReadOnly,
            2 => Protection::ReadExecute,
            3 => Protection::ReadWrite,
            _ => return Err(HandoffError::BadRecord("image segments")),
        };
        let range = PhysRange::new(u64_at(record, 8), u64_at(record, 16));
        Ok(Self {
            virt: u64_at(record, 0),
            range,
            protection,
        })
    }
}
