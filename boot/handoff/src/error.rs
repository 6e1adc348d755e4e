//! Errors of a hand-off.

use core::fmt;

/// Why a [`BootInfo`](crate::BootInfo) cannot be believed. The loader is to blame, or an image of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoffError {
    /// The structure does not start with [`MAGIC`](crate::MAGIC).
    Magic(u64),
    /// Loader and image are of different versions.
    Version {
        /// The version the loader wrote.
        found: u32,
    },
    /// The structure has another size than this version's.
    Size {
        /// The size the loader wrote.
        found_bytes: u32,
    },
    /// A table has more records than anything sane needs.
    TooMany {
        /// Which table.
        table: &'static str,
        /// Number of records it claims.
        count: u32,
        /// Number of records allowed.
        limit: u32,
    },
    /// A table has records of an unknown size, or no address, or wraps around the address space.
    BadTable(&'static str),
    /// The memory map is empty.
    NoMemoryMap,
    /// A record holds a number that means nothing; the table is named.
    BadRecord(&'static str),
    /// A name is not UTF-8.
    BadName,
    /// The platform could not give the bytes of this range.
    Unreadable {
        /// The physical address of the range.
        start: u64,
        /// Its size.
        len_bytes: u64,
    },
}

impl fmt::Display for HandoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic(found) => write!(
                f,
                "boot information has no magic number ({found:#x} instead)"
            ),
            Self::Version { found } => {
                write!(
                    f,
                    "loader speaks hand-off version {found}, image version {}",
                    crate::VERSION
                )
            }
            Self::Size { found_bytes } => write!(f, "boot information is {found_bytes} bytes long"),
            Self::TooMany {
                table,
                count,
                limit,
            } => {
                write!(f, "{table} has {count} records, more than {limit}")
            }
            Self::BadTable(table) => write!(f, "{table} is not a table of this version"),
            Self::NoMemoryMap => write!(f, "memory map is empty"),
            Self::BadRecord(table) => write!(f, "{table} has a record without meaning"),
            Self::BadName => write!(f, "a module's name is not UTF-8"),
            Self::Unreadable { start, len_bytes } => {
                write!(f, "{len_bytes} bytes at physical {start:#x} cannot be read")
            }
        }
    }
}

impl core::error::Error for HandoffError {}
