//! Modules: files of the boot volume that the configuration names, in memory.

use crate::HandoffError;
use crate::range::{PhysRange, put, u64_at};

/// A file in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// The path exactly as in `caisson.toml`.
    pub name: &'a str,
    /// Where its bytes are; starts at a page.
    pub range: PhysRange,
}

/// A module as it is stored: the name is a range too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleRecord {
    /// Where its name is, in UTF-8.
    pub name: PhysRange,
    /// Where its bytes are.
    pub range: PhysRange,
}

impl ModuleRecord {
    /// The size of its record.
    pub const RECORD_BYTES: usize = 32;

    /// Writes it as a record.
    #[must_use]
    pub fn to_record(&self) -> [u8; Self::RECORD_BYTES] {
        let mut record = [0; Self::RECORD_BYTES];
        put(&mut record, 0, &self.name.start.to_le_bytes());
        put(&mut record, 8, &self.name.len_bytes.to_le_bytes());
        put(&mut record, 16, &self.range.start.to_le_bytes());
        put(&mut record, 24, &self.range.len_bytes.to_le_bytes());
        record
    }

    pub(crate) fn from_record(record: &[u8]) -> Self {
        Self {
            name: PhysRange::new(u64_at(record, 0), u64_at(record, 8)),
            range: PhysRange::new(u64_at(record, 16), u64_at(record, 24)),
        }
    }

    pub(crate) fn with_name(self, name: &[u8]) -> Result<Module<'_>, HandoffError> {
        let name = core::str::from_utf8(name).map_err(|_| HandoffError::BadName)?;
        Ok(Module {
            name,
            range: self.range,
        })
    }
}
