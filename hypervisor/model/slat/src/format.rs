//! The entry formats of the two vendors.

use addr::Hpa;
use host::Permissions;

/// The page sizes a leaf can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSize {
    /// 4 KiB, in level 0.
    Small,
    /// 2 MiB, in level 1.
    Large,
    /// 1 GiB, in level 2.
    Huge,
}

impl PageSize {
    /// Bytes in it.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << (12 + 9 * self as u64)
    }

    /// The size of a leaf in the table of this level, 0 to 2.
    #[must_use]
    pub const fn of_level(level: u32) -> Option<Self> {
        match level {
            0 => Some(Self::Small),
            1 => Some(Self::Large),
            2 => Some(Self::Huge),
            _ => None,
        }
    }
}

/// Format of a vendor's entries. Both vendors have four levels of 512 entries of eight bytes; zero
/// is "not present" in both.
pub trait Format {
    /// Bits of a table entry that lets everything through.
    const TABLE: u64;
    /// Bits of every leaf.
    const LEAF: u64;

    /// Bits of a leaf that grant these rights.
    fn rights(permissions: Permissions) -> u64;

    /// The rights a present leaf grants.
    fn permissions(entry: u64) -> Permissions;

    /// Returns whether the entry is present.
    fn is_present(entry: u64) -> bool;
}

/// Bit 7 makes a leaf of an entry above level 0, in both formats.
pub(crate) const PAGE_SIZE: u64 = 1 << 7;
/// Where the address is, in both formats.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Intel's extended page tables. (Intel SDM vol. 3C 29.3.2, tables 29-1 to 29-7)
///
/// Leaves are write-back and do not ignore the guest's PAT; the accessed and dirty flags are set beforehand, which saves the
/// CPU its write where it keeps them and is ignored where it does not.
#[derive(Clone, Copy, Debug)]
pub enum Ept {}

impl Ept {
    const READ: u64 = 1 << 0;
    const WRITE: u64 = 1 << 1;
    const EXECUTE: u64 = 1 << 2;
    const WRITE_BACK: u64 = 6 << 3;
    const ACCESSED: u64 = 1 << 8;
    const DIRTY: u64 = 1 << 9;
}

impl Format for Ept {
    const TABLE: u64 = Self::READ | Self::WRITE | Self::EXECUTE | Self::ACCESSED;
    const LEAF: u64 = Self::WRITE_BACK | Self::ACCESSED | Self::DIRTY;

    fn rights(permissions: Permissions) -> u64 {
        match permissions {
            Permissions::All => Self::READ | Self::WRITE | Self::EXECUTE,
            Permissions::ReadExecute => Self::READ | Self::EXECUTE,
        }
    }

    fn permissions(entry: u64) -> Permissions {
        if entry & Self::WRITE == 0 {
            Permissions::ReadExecute
        } else {
            Permissions::All
        }
    }

    fn is_present(entry: u64) -> bool {
        entry & (Self::READ | Self::WRITE | Self::EXECUTE) != 0
    }
}

/// AMD's nested page tables: ordinary long-mode tables in which every page is a user page. (AMD APM vol. 2 15.25.5)
#[derive(Clone, Copy, Debug)]
pub enum Npt {}

impl Npt {
    const PRESENT: u64 = 1 << 0;
    const WRITE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const ACCESSED: u64 = 1 << 5;
    const DIRTY: u64 = 1 << 6;
}

impl Format for Npt {
    const TABLE: u64 = Self::PRESENT | Self::WRITE | Self::USER | Self::ACCESSED;
    const LEAF: u64 = Self::PRESENT | Self::USER | Self::ACCESSED | Self::DIRTY;

    fn rights(permissions: Permissions) -> u64 {
        match permissions {
            Permissions::All => Self::WRITE,
            Permissions::ReadExecute => 0,
        }
    }

    fn permissions(entry: u64) -> Permissions {
        if entry & Self::WRITE == 0 {
            Permissions::ReadExecute
        } else {
            Permissions::All
        }
    }

    fn is_present(entry: u64) -> bool {
        entry & Self::PRESENT != 0
    }
}

/// An entry that points to the table at `table`.
pub(crate) fn table_entry<F: Format>(table: Hpa) -> u64 {
    (table.raw() & ADDRESS) | F::TABLE
}

/// A leaf of `size` that maps to `to`.
pub(crate) fn leaf_entry<F: Format>(to: Hpa, size: PageSize, permissions: Permissions) -> u64 {
    let size_bit = if size == PageSize::Small {
        0
    } else {
        PAGE_SIZE
    };
    (to.raw() & ADDRESS) | F::LEAF | F::rights(permissions) | size_bit
}
