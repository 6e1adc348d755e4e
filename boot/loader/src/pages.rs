//! Whole pages of memory that stay with the image.

use core::fmt;
use core::ptr::NonNull;

use handoff::PhysRange;
use uefi::boot::{self, AllocateType};
use uefi::mem::memory_map::MemoryType;

use crate::paging::PAGE_BYTES;

/// The firmware has no room for this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMemory {
    wanted_bytes: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the firmware has no {} KiB of memory in one piece",
            self.wanted_bytes.div_ceil(1024)
        )
    }
}

/// Contiguous pages of type loader data. They are not freed when dropped: what lies in them is for the image.
pub(crate) struct Pages {
    start: NonNull<u8>,
    len_bytes: usize,
    page_count: usize,
}

impl Pages {
    /// Takes as many pages as hold `len_bytes`, at least one, filled with zeros.
    pub(crate) fn zeroed(len_bytes: u64) -> Result<Self, NoMemory> {
        let error = NoMemory {
            wanted_bytes: len_bytes,
        };
        let len = usize::try_from(len_bytes).map_err(|_| error)?;
        let page_count = len.div_ceil(PAGE_BYTES as usize).max(1);
        let start =
            boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, page_count)
                .map_err(|_| error)?;
        // SAFETY: the firmware has just given us these pages, mapped one to one and writable.
        unsafe { start.write_bytes(0, page_count * PAGE_BYTES as usize) };
        Ok(Self {
            start,
            len_bytes: len,
            page_count,
        })
    }

    /// Takes pages for a copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self, NoMemory> {
        let mut pages = Self::zeroed(bytes.len() as u64)?;
        pages.bytes_mut().copy_from_slice(bytes);
        Ok(pages)
    }

    /// The bytes asked for; a multiple of the page size may follow.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are ours, written when they were taken, and lent for as long as `self` is.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len_bytes) }
    }

    /// The bytes asked for, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the pages are ours, written when they were taken, and lent exclusively for as long as `self` is.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len_bytes) }
    }

    /// Where the bytes asked for are. Firmware maps memory one to one, so the pointer is the physical address.
    pub(crate) fn range(&self) -> PhysRange {
        PhysRange::new(self.start.as_ptr() as u64, self.len_bytes as u64)
    }

    /// Where all the pages are.
    pub(crate) fn whole_range(&self) -> PhysRange {
        PhysRange::new(
            self.start.as_ptr() as u64,
            self.page_count as u64 * PAGE_BYTES,
        )
    }

    /// Gives the pages back to the firmware.
    pub(crate) fn free(self) {
        // SAFETY: the pages came from the firmware with this count, and nobody can name them after `self` is gone.
        let _ = unsafe { boot::free_pages(self.start, self.page_count) };
    }
}
