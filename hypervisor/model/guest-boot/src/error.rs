//! Why a kernel cannot be started.

use crate::Entry;
use core::fmt;
use pc_map::memory::{HOLE_END, HOLE_START, VIDEO};

/// Why a kernel cannot be started in a guest. What is wrong in the file is told with the field and its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is no kernel that is known here.
    UnknownKind {
        /// First bytes of the file; zeros past its end.
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
        /// Value it holds.
        value: u64,
        /// Description of what is wrong with it.
        problem: &'static str,
    },
    /// The file ends before it should: a field is not there.
    Truncated {
        /// Name of what was looked for.
        what: &'static str,
        /// Where it lies in the file, or would.
        offset: u64,
        /// The file would have to be this long.
        wanted_bytes: u64,
        /// It is this long.
        len_bytes: u64,
    },
    /// A field places a part of the program where the file has ended.
    PastTheEnd {
        /// Its name in the specification.
        name: &'static str,
        /// Where it lies in the file.
        offset: u64,
        /// Value it holds.
        value: u64,
        /// The file would have to be this long.
        wanted_bytes: u64,
        /// It is this long.
        len_bytes: u64,
    },
    /// A segment's bytes lie where the file has ended.
    SegmentPastTheEnd {
        /// Number of its program header, from 0.
        number: u64,
        /// Where that lies in the file.
        offset: u64,
        /// Its field of this name.
        p_offset: u64,
        /// Its field of this name.
        p_filesz: u64,
        /// The file is this long.
        len_bytes: u64,
    },
    /// Something does not fit the guest's memory.
    NoRoom {
        /// What.
        what: &'static str,
        /// Where the field that wants it lies in the file, if one does.
        offset: Option<u64>,
        /// Where it has to lie.
        at: u64,
        /// Number of bytes it takes.
        wanted_bytes: u64,
        /// Where the guest's memory below the PCI hole ends.
        ram_end: u64,
    },
    /// The command line, with the texts of the modules where there are such, is longer than the kernel or the room takes.
    CommandLineTooLong {
        /// Its length.
        len_bytes: u64,
        /// Maximum length the kernel takes.
        max_bytes: u64,
    },
    /// The configuration asks for a door that this kind of kernel does not have.
    NoSuchEntry {
        /// Entry the configuration asks for.
        asked: Entry,
        /// The one there is.
        only: Entry,
    },
    /// The configuration gives a flat binary no start mode.
    NoEntry,
    /// The configuration puts a flat binary where it cannot be.
    LoadAddress {
        /// Where.
        at: u64,
        /// The size of the binary.
        len_bytes: u64,
        /// Why not.
        problem: &'static str,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real16 => "16",
            Self::Protected32 => "32",
            Self::Long64 => "64",
        })
    }
}

impl LoadError {
    /// Tells what of the file is missing.
    fn write_what_is_cut_off(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated {
                what,
                offset,
                wanted_bytes,
                len_bytes,
            } => write!(
                f,
                "the file ends inside {what} at offset {offset:#x}: {wanted_bytes} bytes needed, {len_bytes} there"
            ),
            Self::PastTheEnd {
                name,
                offset,
                value,
                wanted_bytes,
                len_bytes,
            } => write!(
                f,
                "{name} at offset {offset:#x}: {value:#x} lies past the end of the file: {wanted_bytes} bytes needed, {len_bytes} there"
            ),
            Self::SegmentPastTheEnd {
                number,
                offset,
                p_offset,
                p_filesz,
                len_bytes,
            } => write!(
                f,
                "program header {number} at offset {offset:#x}: p_offset {p_offset:#x} + p_filesz {p_filesz:#x} lies past \
                 the end of the file ({len_bytes} bytes)"
            ),
            Self::UnknownKind { .. }
            | Self::Field { .. }
            | Self::NoRoom { .. }
            | Self::CommandLineTooLong { .. }
            | Self::NoSuchEntry { .. }
            | Self::NoEntry
            | Self::LoadAddress { .. } => Ok(()),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind {
                first_bytes: [a, b, c, d],
                len_bytes,
            } => write!(
                f,
                "not a kernel that can be started: neither a Linux bzImage nor an ELF file nor one with a Multiboot header \
                 ({len_bytes} bytes, beginning {a:02x} {b:02x} {c:02x} {d:02x}); a flat binary needs load-address and entry"
            ),
            Self::Field {
                name,
                offset,
                value,
                problem,
            } => write!(f, "{name} at offset {offset:#x}: {value:#x} {problem}"),
            Self::Truncated { .. } | Self::PastTheEnd { .. } | Self::SegmentPastTheEnd { .. } => {
                self.write_what_is_cut_off(f)
            }
            Self::NoRoom {
                what,
                offset,
                at,
                wanted_bytes,
                ram_end,
            } => {
                f.write_str(what)?;
                if let Some(offset) = offset {
                    write!(f, " at offset {offset:#x}")?;
                }
                write!(f, " takes {wanted_bytes:#x} bytes at {at:#x}, but ")?;
                write_why_no_room(f, *at, *wanted_bytes, *ram_end)
            }
            Self::CommandLineTooLong {
                len_bytes,
                max_bytes,
            } => write!(
                f,
                "the command line has {len_bytes} bytes, the kernel takes at most {max_bytes}"
            ),
            Self::NoSuchEntry { asked, only } => write!(
                f,
                "entry = \"{asked}\": a kernel of this kind starts in {only} bits only"
            ),
            Self::NoEntry => write!(
                f,
                "load-address needs entry beside it: the mode in which the flat binary starts"
            ),
            Self::LoadAddress {
                at,
                len_bytes,
                problem,
            } => write!(
                f,
                "load-address = {at:#x}: {len_bytes:#x} bytes from there {problem}"
            ),
        }
    }
}

impl core::error::Error for LoadError {}

/// Writes why there is no room for so many bytes at `at`, where RAM ends at `ram_end`.
fn write_why_no_room(
    f: &mut fmt::Formatter<'_>,
    at: u64,
    wanted_bytes: u64,
    ram_end: u64,
) -> fmt::Result {
    let end = at.saturating_add(wanted_bytes);
    if at < VIDEO.end().raw() && end > VIDEO.start().raw() {
        let (start, end) = (VIDEO.start().raw(), VIDEO.end().raw());
        write!(f, "{start:#x} to {end:#x} is the screen's")
    } else if at < HOLE_END.raw() && end > HOLE_START.raw() {
        let (start, end) = (HOLE_START.raw(), HOLE_END.raw());
        write!(f, "no guest has memory from {start:#x} to {end:#x}")
    } else {
        write!(
            f,
            "the guest's memory there ends at {ram_end:#x}: give the guest more memory"
        )
    }
}
