//! Frames: pieces of physical memory that have an owner.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use addr::Hpa;
use host::NoMemory;
use spin::Mutex;

use crate::direct::{direct, fill};
use crate::free_ranges::{FreeRanges, Placement};
use crate::{PAGE_BYTES, report};

/// The free memory of the machine. Innermost lock: nothing else is taken while it is held.
pub(crate) static FREE: Mutex<FreeRanges> = Mutex::new(FreeRanges::new());

/// Takes contiguous memory, not zeroed; sizes and alignment in bytes, multiples of 4 KiB, `align` a power of two.
///
/// # Errors
/// [`NoMemory`] when no free range is large enough.
pub fn allocate_frames(bytes: u64, align: u64) -> Result<Hpa, NoMemory> {
    take(bytes, Placement::aligned(align.max(PAGE_BYTES)))
}

/// Gives memory back.
///
/// # Safety
/// The range was allocated, and nothing uses it any more: no CPU, no table, no device.
pub unsafe fn free_frames(start: Hpa, bytes: u64) {
    FREE.lock()
        .insert(start.raw(), bytes.next_multiple_of(PAGE_BYTES));
}

/// Takes a frame below 1 MiB, for code that starts in real mode; not page 0.
pub fn take_low_frame() -> Option<Hpa> {
    let placement = Placement {
        limit: 0x10_0000,
        ..Placement::aligned(PAGE_BYTES)
    };
    take(PAGE_BYTES, placement).ok()
}

pub(crate) fn take(bytes: u64, placement: Placement) -> Result<Hpa, NoMemory> {
    let bytes = bytes.checked_next_multiple_of(PAGE_BYTES).ok_or(NoMemory)?;
    FREE.lock()
        .take(bytes, placement)
        .map(Hpa::new)
        .ok_or(NoMemory)
}

pub(crate) fn zero(start: Hpa, bytes: u64) {
    // SAFETY: callers own the range: it was just allocated.
    unsafe { fill(direct(start), bytes as usize, 0) };
}

/// Contiguous, zeroed physical memory, freed on drop: VMCS, VMCB, bitmaps.
#[derive(Debug)]
pub struct Frames {
    start: Hpa,
    bytes: u64,
}

impl Frames {
    /// Allocates `bytes`, rounded up to 4 KiB, aligned to `align` (a power of two, at least 4 KiB is used).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(bytes: u64, align: u64) -> Result<Self, NoMemory> {
        let bytes = bytes.checked_next_multiple_of(PAGE_BYTES).ok_or(NoMemory)?;
        let start = allocate_frames(bytes, align)?;
        zero(start, bytes);
        Ok(Self { start, bytes })
    }

    /// Allocates one zeroed 4 KiB frame.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn one() -> Result<Self, NoMemory> {
        Self::new(PAGE_BYTES, PAGE_BYTES)
    }

    /// Where it lies for the CPU's structures.
    pub fn hpa(&self) -> Hpa {
        self.start
    }

    /// Where it lies for the hypervisor. Valid for [`len_bytes`](Self::len_bytes) while this lives.
    pub fn ptr(&self) -> NonNull<u8> {
        // The direct map lies in the upper half: never null.
        NonNull::new(direct(self.start)).expect("the direct map does not contain address 0")
    }

    /// Its size.
    pub fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// Its contents. Not for memory that hardware writes meanwhile.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: owned, mapped, initialised (zeroed), and `&mut self` makes it the only reference.
        unsafe { core::slice::from_raw_parts_mut(direct(self.start), self.bytes as usize) }
    }

    /// Gives up ownership: the memory stays allocated for ever.
    pub fn leak(self) -> Hpa {
        let start = self.start;
        core::mem::forget(self);
        start
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: this was the owner; whoever told hardware about it keeps it alive meanwhile.
        unsafe { free_frames(self.start, self.bytes) };
    }
}

/// The frames that EPT and NPT are built in.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableFrames;

impl TableFrames {
    fn entry(table: Hpa, index: usize) -> &'static AtomicU64 {
        let place = direct(table)
            .cast::<u64>()
            .wrapping_add(index & (ENTRIES - 1));
        // SAFETY: `table` is a frame that `allocate` gave: mapped, aligned, and reached by atomics only, here and by
        // the CPU's walk. The index is within it.
        unsafe { AtomicU64::from_ptr(place) }
    }
}

/// Entries of eight bytes in a frame.
const ENTRIES: usize = 512;

impl slat::TableMemory for TableFrames {
    fn allocate(&self) -> Option<Hpa> {
        let table = Frames::one().ok()?;
        report::add_guest_table(table.len_bytes());
        Some(table.leak())
    }

    fn free(&self, table: Hpa) {
        report::sub_guest_table(PAGE_BYTES);
        // SAFETY: `SlatTable` frees its tables when it is dropped, after the vCPUs that walked them.
        unsafe { free_frames(table, PAGE_BYTES) };
    }

    fn read(&self, table: Hpa, index: usize) -> u64 {
        Self::entry(table, index).load(Ordering::Acquire)
    }

    fn write(&self, table: Hpa, index: usize, value: u64) {
        Self::entry(table, index).store(value, Ordering::Release);
    }
}
