//! The memory map: what each range of physical addresses is.

use crate::HandoffError;
use crate::range::{PhysRange, put, u32_at, u64_at};

/// Permitted use of a range of physical addresses. (UEFI 2.10 section 7.2, table 7.6 and 7.10)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RegionKind {
    /// Free: conventional memory, and what boot services and the loader's code no longer need.
    Usable = 1,
    /// In use: the image, its page tables, stack, modules, configuration, boot information.
    Loader = 2,
    /// ACPI tables; free once they have been read.
    AcpiReclaimable = 3,
    /// ACPI firmware storage; never to be touched.
    AcpiNvs = 4,
    /// Code and data of UEFI runtime services; must stay as it is.
    RuntimeServices = 5,
    /// Device registers.
    Mmio = 6,
    /// Anything else, bad memory included.
    Reserved = 7,
}

impl RegionKind {
    /// Tells the kind by its number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Usable,
            2 => Self::Loader,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::RuntimeServices,
            6 => Self::Mmio,
            7 => Self::Reserved,
            _ => return None,
        })
    }

    /// Tells whether RAM is behind it: such ranges are within the direct map.
    #[must_use]
    pub const fn is_ram(self) -> bool {
        match self {
            Self::Usable
            | Self::Loader
            | Self::AcpiReclaimable
            | Self::AcpiNvs
            | Self::RuntimeServices => true,
            Self::Mmio | Self::Reserved => false,
        }
    }
}

/// One line of the memory map. The map is sorted by address, its lines do not overlap, neighbours of one kind are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// The physical address, a multiple of 4 KiB.
    pub start: u64,
    /// The size, a multiple of 4 KiB, never 0.
    pub len_bytes: u64,
    /// Its permitted use.
    pub kind: RegionKind,
}

impl MemoryRegion {
    /// The size of its record.
    pub const RECORD_BYTES: usize = 24;

    /// The physical address one past its last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len_bytes)
    }

    /// The addresses alone.
    #[must_use]
    pub const fn range(&self) -> PhysRange {
        PhysRange::new(self.start, self.len_bytes)
    }

    /// Writes it as a record.
    #[must_use]
    pub fn to_record(&self) -> [u8; Self::RECORD_BYTES] {
        let mut record = [0; Self::RECORD_BYTES];
        put(&mut record, 0, &self.start.to_le_bytes());
        put(&mut record, 8, &self.len_bytes.to_le_bytes());
        put(&mut record, 16, &(self.kind as u32).to_le_bytes());
        record
    }

    pub(crate) fn from_record(record: &[u8]) -> Result<Self, HandoffError> {
        let kind = RegionKind::from_number(u32_at(record, 16))
            .ok_or(HandoffError::BadRecord("memory map"))?;
        Ok(Self {
            start: u64_at(record, 0),
            len_bytes: u64_at(record, 8),
            kind,
        })
    }
}
