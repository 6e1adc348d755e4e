//! Why a kernel cannot be started.

use core::fmt;

/// Why a kernel cannot be started in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is no kernel that is known here.
    UnknownKind {
        /// How it begins; zeros past its end.
        first_bytes: [u8; 4],
        /// Its size.
        len_bytes: u64,
    },
    /// A field of the image says something that cannot be.
    Field {
        /// Its name in the specification.
        name: &'static str,
        /// Where it lies in the file.
        offset: u64,
        /// What it holds.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file ends before it should.
    Truncated {
        /// What was looked for.
        what: &'static str,
        /// The file would have to be this long.
        wanted_bytes: u64,
        /// It is this long.
        len_bytes: u64,
    },
    /// Something does not fit the guest's memory.
    NoRoom {
        /// What.
        what: &'static str,
        /// Where it has to lie.
        at: u64,
        /// How much it takes.
        wanted_bytes: u64,
        /// Where the guest's memory below the PCI hole ends.
        ram_end: u64,
    },
    /// The command line is longer than the kernel takes.
    CommandLineTooLong {
        /// Its length.
        len_bytes: u64,
        /// What the kernel takes.
        max_bytes: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind {
                first_bytes,
                len_bytes,
            } => write!(
                f,
                "not a kernel that can be started: neither a Linux bzImage nor an ELF file nor one with a Multiboot header \
                 ({len_bytes} bytes, beginning {:02x} {:02x} {:02x} {:02x})",
                first_bytes[0], first_bytes[1], first_bytes[2], first_bytes[3]
            ),
            Self::Field {
                name,
                offset,
                value,
                problem,
            } => {
                write!(f, "{name} at offset {offset:#x}: {value:#x} {problem}")
            }
            Self::Truncated {
                what,
                wanted_bytes,
                len_bytes,
            } => write!(
                f,
                "the file ends inside {what}: {wanted_bytes} bytes needed, {len_bytes} there"
            ),
            Self::NoRoom {
                what,
                at,
                wanted_bytes,
                ram_end,
            } => write!(
                f,
                "{what} takes {wanted_bytes:#x} bytes at {at:#x}, but the guest's memory there ends at {ram_end:#x}: \
                 give the guest more memory"
            ),
            Self::CommandLineTooLong {
                len_bytes,
                max_bytes,
            } => {
                write!(
                    f,
                    "the command line has {len_bytes} bytes, the kernel takes at most {max_bytes}"
                )
            }
        }
    }
}

impl core::error::Error for LoadError {}
