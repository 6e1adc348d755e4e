//! Memory for devices, within what each of them can address.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use addr::Hpa;
use hardware::{BadAccess, DmaBuffer, DmaError, DmaLimits, DmaMemory, DmaPiece};
use x86::Width;

use crate::PAGE_BYTES;
use crate::direct::{copy, direct};
use crate::frames::{free_frames, take, zero};
use crate::free_ranges::Placement;

/// The machine's memory, as buffers for devices. Without an IOMMU a device sees host-physical
/// addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaFrames;

impl DmaMemory for DmaFrames {
    type Buffer = DmaFrameBuffer;

    fn allocate(&self, len_bytes: usize, limits: DmaLimits) -> Result<DmaFrameBuffer, DmaError> {
        let len = len_bytes as u64;
        let placement = placement(len, &limits).ok_or(DmaError::BadRequest)?;
        let start = take(len, placement).map_err(|_| DmaError::NoMemory)?;
        let Some(pieces) = cut(start, len, limits.boundary_bytes) else {
            // SAFETY: just taken, and nobody was told.
            unsafe { free_frames(start, len) };
            return Err(DmaError::NoMemory);
        };
        zero(start, len.next_multiple_of(PAGE_BYTES));
        Ok(DmaFrameBuffer {
            start,
            len_bytes,
            pieces,
        })
    }
}

/// Where a buffer of `len` bytes may lie: between two boundaries if it fits there, else behind one.
/// `None` for a request that makes no sense.
fn placement(len: u64, limits: &DmaLimits) -> Option<Placement> {
    if len == 0 || !limits.are_sound() {
        return None;
    }
    let uncut = len.checked_next_power_of_two()?;
    let align = limits
        .boundary_bytes
        .map_or(1, |boundary| uncut.min(boundary));
    Some(Placement {
        limit: limits.end(),
        ..Placement::aligned(align.max(limits.align_bytes).max(PAGE_BYTES))
    })
}

/// Cuts a contiguous range at every boundary; `None` without memory for the list.
fn cut(start: Hpa, len: u64, boundary: Option<u64>) -> Option<Vec<DmaPiece>> {
    let end = start.raw().checked_add(len)?;
    let mut pieces = Vec::new();
    let mut at = start.raw();
    while at < end {
        let next = boundary.and_then(|boundary| (at + 1).checked_next_multiple_of(boundary));
        let next = next.map_or(end, |next| next.min(end));
        pieces.try_reserve(1).ok()?;
        pieces.push(DmaPiece {
            at: Hpa::new(at),
            len_bytes: next - at,
        });
        at = next;
    }
    Some(pieces)
}

/// Contiguous frames that a device reads and writes. They stay allocated if this is dropped.
#[derive(Debug)]
pub struct DmaFrameBuffer {
    start: Hpa,
    len_bytes: usize,
    pieces: Vec<DmaPiece>,
}

impl DmaFrameBuffer {
    fn place(&self, at: usize) -> *mut u8 {
        direct(self.start).wrapping_add(at)
    }

    fn check(&self, at: usize, len: usize) -> Result<(), BadAccess> {
        let end = at.checked_add(len).ok_or(BadAccess::OutOfRange)?;
        if end > self.len_bytes {
            return Err(BadAccess::OutOfRange);
        }
        Ok(())
    }
}

/// A number in a buffer.
enum Cell<'a> {
    Byte(&'a AtomicU8),
    Word(&'a AtomicU16),
    Dword(&'a AtomicU32),
    Qword(&'a AtomicU64),
}

impl DmaFrameBuffer {
    fn cell(&self, at: usize, width: Width) -> Result<Cell<'_>, BadAccess> {
        BadAccess::check(at, width, self.len_bytes)?;
        let place = self.place(at);
        Ok(match width {
            // SAFETY: within frames of ours, aligned as they and the offset are, and reached by
            // atomics, copies of our own and the device only. Here and below.
            Width::Byte => Cell::Byte(unsafe { AtomicU8::from_ptr(place) }),
            // SAFETY: as above.
            Width::Word => Cell::Word(unsafe { AtomicU16::from_ptr(place.cast()) }),
            // SAFETY: as above.
            Width::Dword => Cell::Dword(unsafe { AtomicU32::from_ptr(place.cast()) }),
            // SAFETY: as above.
            Width::Qword => Cell::Qword(unsafe { AtomicU64::from_ptr(place.cast()) }),
        })
    }
}

impl DmaBuffer for DmaFrameBuffer {
    fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    fn pieces(&self) -> &[DmaPiece] {
        &self.pieces
    }

    fn read(&self, at: usize, into: &mut [u8]) -> Result<(), BadAccess> {
        self.check(at, into.len())?;
        // SAFETY: within frames of ours, to which no reference exists, and into the caller's slice,
        // which lies elsewhere.
        unsafe { copy(self.place(at), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn write(&self, at: usize, from: &[u8]) -> Result<(), BadAccess> {
        self.check(at, from.len())?;
        // SAFETY: as in `read`, the other way.
        unsafe { copy(from.as_ptr(), self.place(at), from.len()) };
        Ok(())
    }

    fn load(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        Ok(match self.cell(at, width)? {
            Cell::Byte(cell) => cell.load(Ordering::Acquire).into(),
            Cell::Word(cell) => cell.load(Ordering::Acquire).into(),
            Cell::Dword(cell) => cell.load(Ordering::Acquire).into(),
            Cell::Qword(cell) => cell.load(Ordering::Acquire),
        })
    }

    fn store(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        match self.cell(at, width)? {
            Cell::Byte(cell) => cell.store(value as u8, Ordering::Release),
            Cell::Word(cell) => cell.store(value as u16, Ordering::Release),
            Cell::Dword(cell) => cell.store(value as u32, Ordering::Release),
            Cell::Qword(cell) => cell.store(value, Ordering::Release),
        }
        Ok(())
    }

    fn release(self) {
        // SAFETY: allocated by `DmaFrames`, and released once. The device has let go of it, by the
        // contract; a driver that breaks it is one that gives its device a wrong address, and
        // registers are handed to drivers that do not.
        unsafe { free_frames(self.start, self.len_bytes as u64) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::free_ranges::FreeRanges;

    /// Takes a buffer out of memory from 1 MiB to 8 GiB.
    fn allocate(len: u64, limits: DmaLimits) -> Option<(Hpa, Vec<DmaPiece>)> {
        let mut free = FreeRanges::new();
        free.insert(0x10_1000, (8 << 30) - 0x10_1000);
        let start = free.take(len.next_multiple_of(PAGE_BYTES), placement(len, &limits)?)?;
        let start = Hpa::new(start);
        Some((start, cut(start, len, limits.boundary_bytes)?))
    }

    #[test]
    fn a_buffer_that_fits_between_two_boundaries_is_one_piece() {
        let limits = DmaLimits {
            boundary_bytes: Some(0x1_0000),
            ..DmaLimits::NONE
        };
        for len in [1, 0x2800, 0xffff, 0x1_0000] {
            let (_, pieces) = allocate(len, limits).expect("there is room");
            assert!(
                matches!(pieces[..], [piece] if limits.admit(piece)),
                "{len:#x}"
            );
        }
    }

    #[test]
    fn a_longer_one_is_cut_at_each_boundary() {
        let limits = DmaLimits {
            boundary_bytes: Some(0x1_0000),
            ..DmaLimits::NONE
        };
        let (start, pieces) = allocate(0x2_8000, limits).expect("there is room");
        assert!(pieces.iter().all(|&piece| limits.admit(piece)));
        let lens: Vec<u64> = pieces.iter().map(|piece| piece.len_bytes).collect();
        assert_eq!(lens, [0x1_0000, 0x1_0000, 0x8000]);
        assert_eq!(pieces.first().map(|piece| piece.at), Some(start));
    }

    #[test]
    fn alignment_and_reach_are_kept() {
        let limits = DmaLimits {
            align_bytes: 0x20_0000,
            address_bits: 32,
            boundary_bytes: None,
        };
        let (start, _) = allocate(0x1000, limits).expect("there is room");
        assert!(start.is_aligned(0x20_0000));
        let far = DmaLimits {
            address_bits: 20,
            ..DmaLimits::NONE
        };
        assert_eq!(allocate(1, far), None);
        assert_eq!(allocate(4 << 30, limits), None);
        assert!(allocate(4 << 30, DmaLimits::NONE).is_some());
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused() {
        let odd = DmaLimits {
            align_bytes: 3,
            ..DmaLimits::NONE
        };
        let no_room = DmaLimits {
            boundary_bytes: Some(0),
            ..DmaLimits::NONE
        };
        assert!(placement(1, &odd).is_none());
        assert!(placement(1, &no_room).is_none());
        assert!(placement(0, &DmaLimits::NONE).is_none());
        assert!(placement(u64::MAX, &DmaLimits::NONE).is_none());
    }
}
