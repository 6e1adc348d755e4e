//! Guest RAM: frames a guest owns, reached by copies and atomics through the direct map.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use addr::{Gpa, GpaRange, Hpa};
use guest_memory::{GuestMemory, Unbacked};
use host::{Backing, NoMemory};

use crate::direct::{copy, direct, fill};
use crate::frames::{free_frames, take};
use crate::free_ranges::Placement;
use crate::{HUGE_PAGE_BYTES, LARGE_PAGE_BYTES, PAGE_BYTES, report};

/// A contiguous piece of guest RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    gpa: u64,
    bytes: u64,
    hpa: u64,
}

/// The RAM of one VM, not cleared when allocated, freed on drop.
///
/// No reference into it exists. The pieces are sorted by guest-physical address and few.
#[derive(Debug)]
pub struct GuestRam {
    pieces: Vec<Piece>,
}

impl GuestRam {
    /// Allocates RAM for `ranges`, sorted and disjoint, each 4 KiB aligned. Pieces keep the guest's alignment within
    /// 1 GiB or 2 MiB where memory allows, so that SLAT tables can use large pages.
    ///
    /// # Errors
    /// [`NoMemory`], also for ranges that are not as described; nothing is kept then.
    pub fn new(ranges: &[GpaRange]) -> Result<Self, NoMemory> {
        let mut ram = Self { pieces: Vec::new() };
        let mut last_end = 0;
        for range in ranges {
            let (mut gpa, end) = (range.start().raw(), range.end().raw());
            if gpa < last_end || !(gpa | end).is_multiple_of(PAGE_BYTES) {
                return Err(NoMemory);
            }
            last_end = end;
            while gpa < end {
                let (hpa, bytes) = take_piece(gpa, end - gpa)?;
                report::add_guest(bytes);
                ram.pieces.push(Piece {
                    gpa,
                    bytes,
                    hpa: hpa.raw(),
                });
                gpa += bytes;
            }
        }
        Ok(ram)
    }

    /// Bytes in total.
    pub fn len_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }

    /// Where `at` lies, and how many bytes from there on are contiguous.
    #[inline]
    fn find(&self, at: u64) -> Option<(*mut u8, u64)> {
        let piece = self
            .pieces
            .iter()
            .find(|piece| at.wrapping_sub(piece.gpa) < piece.bytes)?;
        let offset = at - piece.gpa;
        Some((direct(Hpa::new(piece.hpa + offset)), piece.bytes - offset))
    }

    /// Calls `each` with the pieces that make up `len` bytes from `at` on: their place and their offset from `at`.
    fn for_each(
        &self,
        at: Gpa,
        len: u64,
        mut each: impl FnMut(*mut u8, usize, usize),
    ) -> Result<(), Unbacked> {
        let mut done = 0;
        while done < len {
            let address = at.raw().checked_add(done).ok_or(Unbacked)?;
            let (place, room) = self.find(address).ok_or(Unbacked)?;
            let bytes = room.min(len - done);
            each(place, done as usize, bytes as usize);
            done += bytes;
        }
        Ok(())
    }

    fn aligned(&self, at: Gpa, bytes: u64) -> Result<*mut u8, Unbacked> {
        // Pieces are whole pages, so an aligned value never straddles two.
        if !at.is_aligned(bytes) {
            return Err(Unbacked);
        }
        self.find(at.raw()).map(|(place, _)| place).ok_or(Unbacked)
    }

    #[inline]
    fn word(&self, at: Gpa) -> Result<&AtomicU64, Unbacked> {
        let place = self.aligned(at, 8)?;
        // SAFETY: aligned, in RAM this VM owns while `self` lives; all accesses are atomics or our copy instructions.
        Ok(unsafe { AtomicU64::from_ptr(place.cast()) })
    }

    #[inline]
    fn half(&self, at: Gpa) -> Result<&AtomicU16, Unbacked> {
        let place = self.aligned(at, 2)?;
        // SAFETY: as in `word`.
        Ok(unsafe { AtomicU16::from_ptr(place.cast()) })
    }
}

/// Takes as much of `len` bytes for guest-physical `gpa` as one contiguous range gives.
fn take_piece(gpa: u64, len: u64) -> Result<(Hpa, u64), NoMemory> {
    let mut bytes = len;
    loop {
        let aligns = [
            (HUGE_PAGE_BYTES, bytes >= HUGE_PAGE_BYTES),
            (LARGE_PAGE_BYTES, bytes >= LARGE_PAGE_BYTES),
            (PAGE_BYTES, bytes <= 8 * LARGE_PAGE_BYTES),
        ];
        for (align, _) in aligns.into_iter().filter(|(_, is_worth_it)| *is_worth_it) {
            let placement = Placement {
                align,
                phase: gpa & (align - 1),
                limit: u64::MAX,
            };
            if let Ok(hpa) = take(bytes, placement) {
                return Ok((hpa, bytes));
            }
        }
        if bytes <= PAGE_BYTES {
            return Err(NoMemory);
        }
        // Smaller, and ending at a large page's border where that is possible.
        let half_end = gpa + bytes / 2;
        let border = half_end & !(LARGE_PAGE_BYTES - 1);
        let end = if border > gpa {
            border
        } else {
            half_end & !(PAGE_BYTES - 1)
        };
        bytes = (end - gpa).max(PAGE_BYTES);
    }
}

impl GuestMemory for GuestRam {
    fn read(&self, at: Gpa, into: &mut [u8]) -> Result<(), Unbacked> {
        let to = into.as_mut_ptr();
        self.for_each(at, into.len() as u64, |place, offset, bytes| {
            // SAFETY: `place` is RAM of this VM for `bytes`, `into` has room for `offset + bytes`; no Rust reference
            // to guest RAM exists, so they cannot overlap.
            unsafe { copy(place, to.wrapping_add(offset), bytes) };
        })
    }

    fn write(&self, at: Gpa, from: &[u8]) -> Result<(), Unbacked> {
        let source = from.as_ptr();
        self.for_each(at, from.len() as u64, |place, offset, bytes| {
            // SAFETY: as in `read`, the other way round.
            unsafe { copy(source.wrapping_add(offset), place, bytes) };
        })
    }

    #[inline]
    fn load_u16(&self, at: Gpa, order: Ordering) -> Result<u16, Unbacked> {
        Ok(self.half(at)?.load(load_order(order)))
    }

    #[inline]
    fn store_u16(&self, at: Gpa, value: u16, order: Ordering) -> Result<(), Unbacked> {
        self.half(at)?.store(value, store_order(order));
        Ok(())
    }

    #[inline]
    fn load_u64(&self, at: Gpa) -> Result<u64, Unbacked> {
        Ok(self.word(at)?.load(Ordering::Acquire))
    }

    fn compare_exchange_u64(&self, at: Gpa, current: u64, new: u64) -> Result<bool, Unbacked> {
        Ok(self
            .word(at)?
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok())
    }

    fn fill(&self, at: Gpa, len_bytes: u64, byte: u8) -> Result<(), Unbacked> {
        self.for_each(at, len_bytes, |place, _, bytes| {
            // SAFETY: RAM of this VM for `bytes`.
            unsafe { fill(place, bytes, byte) };
        })
    }
}

/// Loads know no release; a wrong order from a caller must not panic.
fn load_order(order: Ordering) -> Ordering {
    match order {
        Ordering::Relaxed | Ordering::SeqCst => order,
        _ => Ordering::Acquire,
    }
}

/// Stores know no acquire.
fn store_order(order: Ordering) -> Ordering {
    match order {
        Ordering::Relaxed | Ordering::SeqCst => order,
        _ => Ordering::Release,
    }
}

impl Backing for GuestRam {
    fn for_each_piece(&self, each: &mut dyn FnMut(GpaRange, Hpa)) {
        for piece in &self.pieces {
            if let Some(range) = GpaRange::new(Gpa::new(piece.gpa), piece.bytes) {
                each(range, Hpa::new(piece.hpa));
            }
        }
    }
}

impl Drop for GuestRam {
    fn drop(&mut self) {
        for piece in &self.pieces {
            report::sub_guest(piece.bytes);
            // SAFETY: the VM is gone: its owner drops the RAM after the SLAT tables and vCPUs that map it.
            unsafe { free_frames(Hpa::new(piece.hpa), piece.bytes) };
        }
    }
}
