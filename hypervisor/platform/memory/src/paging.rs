//! The hypervisor's own page tables. (Intel SDM vol. 3A 5.5; AMD APM vol. 2 5.3)

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use addr::Hpa;
use host::NoMemory;
use spin::Mutex;

use crate::direct::direct;
use crate::frames::{free_frames, take, zero};
use crate::free_ranges::Placement;
use crate::{HUGE_PAGE_BYTES, LARGE_PAGE_BYTES, PAGE_BYTES, report};

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// The PAT bit of a 4 KiB entry; in larger ones bit 7 means LARGE and the PAT bit is bit 12.
const PAT_SMALL: u64 = 1 << 7;
const PAT_LARGE: u64 = 1 << 12;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const MMIO_BASE: usize = 0xffff_c000_0000_0000;

/// Caching of device memory by the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Normal memory.
    WriteBack,
    /// Registers: every access reaches the device, in order.
    Uncached,
    /// Framebuffers: writes are gathered. PAT entry 4, as `cpu::enable_host_features` sets it.
    WriteCombining,
}

/// Access that a mapping permits. There is no writable and executable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Read,
    ReadWrite,
    ReadExecute,
}

/// One four-level tree.
pub(crate) struct Tables {
    root: Hpa,
    has_huge_pages: bool,
    /// The next free address for device memory.
    mmio_next: usize,
}

/// The tree every CPU runs on. Taken after the heap's lock, before that of the free frames.
pub(crate) static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

/// The page-table root for CR3; below 4 GiB, so that a starting CPU can load it in protected mode. Zero before
/// [`take_over`](crate::take_over).
pub fn root() -> Hpa {
    TABLES
        .lock()
        .as_ref()
        .map_or(Hpa::default(), |tables| tables.root)
}

/// Maps device registers or a framebuffer, for good. `hpa` may be at any offset in its page.
///
/// # Errors
/// [`NoMemory`] when a table cannot be allocated.
///
/// # Safety
/// The range is device memory, not RAM anybody owns, and touching it as the caller will is harmless to memory.
pub unsafe fn map_mmio(hpa: Hpa, bytes: u64, caching: Caching) -> Result<NonNull<u8>, NoMemory> {
    let mut guard = TABLES.lock();
    let tables = guard.as_mut().ok_or(NoMemory)?;
    let offset = hpa.page_offset();
    let len = (offset + bytes).next_multiple_of(PAGE_BYTES);
    let at = place_mmio(tables.mmio_next, hpa.align_down(PAGE_BYTES), len);
    tables.mmio_next = at + len as usize + PAGE_BYTES as usize;
    tables.map(
        at,
        hpa.align_down(PAGE_BYTES),
        len,
        Permit::ReadWrite,
        caching,
    )?;
    NonNull::new((at + offset as usize) as *mut u8).ok_or(NoMemory)
}

/// Maps one frame at its own physical address, executable and read-only: the start of another CPU.
///
/// # Errors
/// [`NoMemory`] when a table cannot be allocated.
pub fn map_identity_code(frame: Hpa) -> Result<(), NoMemory> {
    let mut guard = TABLES.lock();
    let tables = guard.as_mut().ok_or(NoMemory)?;
    tables.map(
        frame.raw() as usize,
        frame,
        PAGE_BYTES,
        Permit::ReadExecute,
        Caching::WriteBack,
    )
}

/// Takes back what [`map_identity_code`] mapped. Tables of the lower half stay, empty.
pub fn unmap_identity(frame: Hpa) {
    if let Some(tables) = TABLES.lock().as_mut() {
        tables.unmap_page(frame.raw() as usize);
    }
    cpu::invalidate_page(frame.raw() as usize);
}

/// Where `len` bytes of device memory from `hpa` on are mapped, the addresses from `next` on being free.
fn place_mmio(next: usize, hpa: Hpa, len: u64) -> usize {
    if len < LARGE_PAGE_BYTES {
        // Registers of one device behind those of another, so that they share tables.
        return next;
    }
    // Equal position within 2 MiB lets large framebuffers use large pages.
    let phase = hpa.raw() as usize & (LARGE_PAGE_BYTES as usize - 1);
    next.next_multiple_of(LARGE_PAGE_BYTES as usize) + phase
}

/// Takes a static out of the address space and gives its pages back. Pages that it shares with others stay.
///
/// # Safety
/// Nobody uses it any more, and it was only ever used by this CPU: no other one has its translation.
pub unsafe fn reclaim_static<T>(what: *mut T) {
    let page = PAGE_BYTES as usize;
    let start = what.addr().next_multiple_of(page);
    let end = (what.addr() + size_of::<T>()) & !(page - 1);
    for at in (start..end).step_by(page) {
        let frame = TABLES
            .lock()
            .as_mut()
            .and_then(|tables| tables.unmap_page(at));
        cpu::invalidate_page(at);
        if let Some(frame) = frame {
            // SAFETY: a page of the image that held nothing but this static, which nobody uses: the caller's promise.
            unsafe { free_frames(frame, PAGE_BYTES) };
            report::sub_image(PAGE_BYTES);
        }
    }
}

impl Tables {
    /// An empty tree.
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let root = take(
            PAGE_BYTES,
            Placement {
                limit: 1 << 32,
                ..Placement::aligned(PAGE_BYTES)
            },
        )?;
        zero(root, PAGE_BYTES);
        report::add_table(PAGE_BYTES);
        let has_huge_pages =
            cpu::has_extended_leaf(0x8000_0001) && cpu::cpuid(0x8000_0001).edx >> 26 & 1 != 0;
        Ok(Self {
            root,
            has_huge_pages,
            mmio_next: MMIO_BASE,
        })
    }

    pub(crate) fn root(&self) -> Hpa {
        self.root
    }

    /// Maps `bytes` from `at` to `to` in the largest pages that fit; both are 4 KiB aligned. A page mapped
    /// before is replaced, without a TLB flush; a large page in the way is split.
    pub(crate) fn map(
        &mut self,
        at: usize,
        to: Hpa,
        bytes: u64,
        permit: Permit,
        caching: Caching,
    ) -> Result<(), NoMemory> {
        let (mut at, mut to, mut left) = (at, to.raw(), bytes);
        while left > 0 {
            let fits = |size: u64| left >= size && (at as u64 | to).is_multiple_of(size);
            let level = match () {
                () if self.has_huge_pages && fits(HUGE_PAGE_BYTES) => 2,
                () if fits(LARGE_PAGE_BYTES) => 1,
                () => 0,
            };
            let size = PAGE_BYTES << (9 * level);
            self.entry(at, level)?
                .store(to | flags(level, permit, caching), Ordering::Release);
            at = at.wrapping_add(size as usize);
            to += size;
            left = left.saturating_sub(size);
        }
        Ok(())
    }

    /// The entry of `at` in the table of `level` (0 holds 4 KiB pages), making the tables above it.
    fn entry(&mut self, at: usize, level: u32) -> Result<&'static AtomicU64, NoMemory> {
        let mut entry = slot(self.root, at, 3);
        for below in (level..3).rev() {
            let value = entry.load(Ordering::Acquire);
            let table = if value & PRESENT == 0 {
                let table = new_table()?;
                entry.store(table.raw() | PRESENT | WRITE, Ordering::Release);
                table
            } else if value & LARGE != 0 {
                let table = split(value, below)?;
                entry.store(table.raw() | PRESENT | WRITE, Ordering::Release);
                table
            } else {
                Hpa::new(value & ADDRESS)
            };
            entry = slot(table, at, below);
        }
        Ok(entry)
    }

    /// Unmaps one 4 KiB page, if it is mapped as such, and says which it was. The caller flushes.
    fn unmap_page(&mut self, at: usize) -> Option<Hpa> {
        let mut entry = slot(self.root, at, 3);
        for below in (0..3).rev() {
            let value = entry.load(Ordering::Acquire);
            if value & PRESENT == 0 || value & LARGE != 0 {
                return None;
            }
            entry = slot(Hpa::new(value & ADDRESS), at, below);
        }
        let value = entry.swap(0, Ordering::AcqRel);
        (value & PRESENT != 0).then_some(Hpa::new(value & ADDRESS))
    }
}

fn new_table() -> Result<Hpa, NoMemory> {
    let table = take(PAGE_BYTES, Placement::aligned(PAGE_BYTES))?;
    report::add_table(PAGE_BYTES);
    zero(table, PAGE_BYTES);
    Ok(table)
}

/// A table whose 512 entries, of `level`, map together what the one large entry above maps.
fn split(large: u64, level: u32) -> Result<Hpa, NoMemory> {
    let table = take(PAGE_BYTES, Placement::aligned(PAGE_BYTES))?;
    report::add_table(PAGE_BYTES);
    let size = PAGE_BYTES << (9 * level);
    let mut flags = large & !ADDRESS;
    let mut base = large & ADDRESS & !(size * 512 - 1);
    if level == 0 {
        flags &= !LARGE;
        if large & PAT_LARGE != 0 {
            flags |= PAT_SMALL;
        }
    } else {
        base |= large & PAT_LARGE;
    }
    for index in 0..512 {
        slot(table, index << (12 + 9 * level), level)
            .store((base + index as u64 * size) | flags, Ordering::Relaxed);
    }
    Ok(table)
}

/// The entry for `at` in the table of `level` at `table`.
fn slot(table: Hpa, at: usize, level: u32) -> &'static AtomicU64 {
    let index = at >> (12 + 9 * level) & 0x1ff;
    let address = direct(table).cast::<u64>().wrapping_add(index);
    // SAFETY: page tables are frames of ours that are never freed; they are only ever accessed as atomics.
    unsafe { AtomicU64::from_ptr(address) }
}

fn flags(level: u32, permit: Permit, caching: Caching) -> u64 {
    let mut flags = PRESENT;
    flags |= match permit {
        Permit::Read => NO_EXECUTE | GLOBAL,
        Permit::ReadWrite => WRITE | NO_EXECUTE | GLOBAL,
        // Code: the image's is global, too, but identity-mapped code must go away with a CR3 load.
        Permit::ReadExecute => 0,
    };
    if level > 0 {
        flags |= LARGE;
    }
    flags
        | match caching {
            Caching::WriteBack => 0,
            Caching::Uncached => CACHE_DISABLE | WRITE_THROUGH,
            Caching::WriteCombining if level > 0 => PAT_LARGE,
            Caching::WriteCombining => PAT_SMALL,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_writable_and_executable() {
        for permit in [Permit::Read, Permit::ReadWrite, Permit::ReadExecute] {
            let flags = flags(0, permit, Caching::WriteBack);
            assert!(flags & WRITE == 0 || flags & NO_EXECUTE != 0);
        }
    }

    #[test]
    fn registers_lie_side_by_side_and_framebuffers_fit_large_pages() {
        let next = MMIO_BASE + PAGE_BYTES as usize;
        assert_eq!(place_mmio(next, Hpa::new(0xfee0_0000), PAGE_BYTES), next);
        let framebuffer = Hpa::new(0x8010_0000);
        let at = place_mmio(next, framebuffer, 4 << 20);
        assert!(at >= next);
        assert_eq!((at as u64 ^ framebuffer.raw()) & (LARGE_PAGE_BYTES - 1), 0);
    }

    #[test]
    fn write_combining_is_the_pat_bit_of_the_right_level() {
        assert_ne!(
            flags(0, Permit::ReadWrite, Caching::WriteCombining) & PAT_SMALL,
            0
        );
        let large = flags(1, Permit::ReadWrite, Caching::WriteCombining);
        assert_eq!(large & (PAT_LARGE | LARGE), PAT_LARGE | LARGE);
    }
}
