//! From the loader's page tables and memory map to our own.

extern crate alloc;

use alloc::vec::Vec;

use addr::Hpa;
use handoff::{
    BOOT_STACK_BASE, BOOT_STACK_LEN_BYTES, BootInfo, HandoffError, MemoryRegion, PhysRange,
    Protection, RegionKind,
};
use host::NoMemory;
use spin::Mutex;

use crate::PAGE_BYTES;
use crate::direct::{direct, loader_bytes};
use crate::frames::FREE;
use crate::paging::{Caching, Permit, TABLES, Tables};
use crate::report;

/// The loader's hand-off, until [`reclaim_loader`].
static INFO: Mutex<Option<BootInfo>> = Mutex::new(None);

/// Why the memory cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverError {
    /// The loader's hand-off is invalid.
    Handoff(HandoffError),
    /// There is not even memory for page tables.
    NoMemory,
}

impl core::fmt::Display for TakeoverError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Handoff(error) => error.fmt(f),
            Self::NoMemory => f.write_str("no memory for page tables"),
        }
    }
}

impl From<HandoffError> for TakeoverError {
    fn from(error: HandoffError) -> Self {
        Self::Handoff(error)
    }
}

impl From<NoMemory> for TakeoverError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Fills the list of free frames from the memory map and moves to page tables of our own.
///
/// Memory the loader used stays untouched until [`reclaim_loader`].
///
/// # Errors
/// When the hand-off cannot be read or memory is short; the loader's tables are then still in use.
///
/// # Safety
/// Once, on the boot CPU, in the state the contract of `handoff` describes, with `cpu::enable_host_features` done.
pub unsafe fn take_over(info: &BootInfo) -> Result<(), TakeoverError> {
    // SAFETY: the loader filled these ranges, and they are of kind Loader: nobody writes them now.
    let view = |range: PhysRange| unsafe { loader_bytes(range) };
    let regions = info.memory_regions(view)?;
    for region in regions.clone() {
        note_region(region?);
    }
    let mut tables = Tables::new()?;
    for range in ram_ranges(regions.flatten()) {
        let start = Hpa::new(range.start);
        tables.map(
            direct(start) as usize,
            start,
            range.len_bytes,
            Permit::ReadWrite,
            Caching::WriteBack,
        )?;
    }
    for segment in info.image_segments(view)? {
        let segment = segment?;
        let (start, bytes) = (Hpa::new(segment.range.start), segment.range.len_bytes);
        let permit = match segment.protection {
            Protection::ReadOnly => Permit::Read,
            Protection::ReadExecute => Permit::ReadExecute,
            Protection::ReadWrite => Permit::ReadWrite,
        };
        tables.map(
            segment.virt as usize,
            start,
            bytes,
            permit,
            Caching::WriteBack,
        )?;
        if permit != Permit::ReadWrite {
            // The direct map must not be a back door to code.
            tables.map(
                direct(start) as usize,
                start,
                bytes,
                Permit::Read,
                Caching::WriteBack,
            )?;
        }
        report::add_image(bytes);
    }
    let stack = Hpa::new(info.boot_stack.start);
    tables.map(
        BOOT_STACK_BASE as usize,
        stack,
        BOOT_STACK_LEN_BYTES,
        Permit::ReadWrite,
        Caching::WriteBack,
    )?;
    let root = tables.root();
    *TABLES.lock() = Some(tables);
    *INFO.lock() = Some(*info);
    // SAFETY:
    // 1. Code, data and stack in use are mapped as before: the segments and the boot stack.
    // 2. So is the direct map of all RAM, where the page tables are.
    unsafe { cpu::write_cr3(root.raw()) };
    Ok(())
}

/// The RAM among sorted regions, neighbours joined whatever their kinds: what is mapped in one piece takes large pages.
fn ram_ranges(regions: impl Iterator<Item = MemoryRegion>) -> impl Iterator<Item = PhysRange> {
    let mut ram = regions.filter(|region| region.kind.is_ram()).peekable();
    core::iter::from_fn(move || {
        let first = ram.next()?;
        let mut end = first.end();
        while let Some(next) = ram.next_if(|next| next.start == end) {
            end = next.end();
        }
        Some(PhysRange::new(first.start, end - first.start))
    })
}

fn note_region(region: MemoryRegion) {
    match region.kind {
        RegionKind::Usable => {
            // Page 0 stays out: its address in the lower half is what a null pointer looks like to old code.
            let start = region.start.max(PAGE_BYTES);
            FREE.lock()
                .insert(start, region.end().saturating_sub(start));
            report::add_total(region.len_bytes);
        }
        RegionKind::Loader => report::add_total(region.len_bytes),
        RegionKind::AcpiReclaimable
        | RegionKind::AcpiNvs
        | RegionKind::RuntimeServices
        | RegionKind::Mmio
        | RegionKind::Reserved => {}
    }
}

/// The memory map as the loader gave it; nothing any more once its memory was given back.
pub fn regions() -> impl Iterator<Item = MemoryRegion> {
    // SAFETY: as in `take_over`: the map lies in memory of kind Loader, which is only given back after `INFO` was emptied.
    let view = |range: PhysRange| unsafe { loader_bytes(range) };
    let info = *INFO.lock();
    info.and_then(|info| info.memory_regions(view).ok())
        .into_iter()
        .flatten()
        .flatten()
}

/// Frees what the loader used, but for `keep`: the image's segments and the modules. The rest (its page tables, the
/// boot stack, boot information, configuration) is given back.
///
/// # Safety
/// 1. No CPU uses the loader's page tables or the boot stack any more.
/// 2. Nothing refers to loader memory outside `keep`: names and configuration have been copied.
pub unsafe fn reclaim_loader(keep: &[PhysRange]) {
    let mut freed = 0;
    // The map itself lies in memory that goes.
    let loaders: Vec<MemoryRegion> = regions()
        .filter(|region| region.kind == RegionKind::Loader)
        .collect();
    *INFO.lock() = None;
    for region in loaders {
        let mut at = region.start;
        while at < region.end() {
            let (is_kept, until) = next_piece(keep, at, region.end());
            if !is_kept {
                FREE.lock().insert(at, until - at);
                freed += until - at;
            }
            at = until;
        }
    }
    log::debug!("memory: {} KiB of the loader are free again", freed >> 10);
}

/// Notes how much of the loader's memory stays in use as files for guests.
pub fn modules_kept(bytes: u64) {
    report::set_modules(bytes);
}

/// Returns whether the page at `at` is kept, and up to where that does not change, `end` at most.
/// In whole pages.
fn next_piece(keep: &[PhysRange], at: u64, end: u64) -> (bool, u64) {
    let pages = |range: &PhysRange| {
        let start = range.start & !(PAGE_BYTES - 1);
        let end = range
            .end()
            .unwrap_or(u64::MAX - PAGE_BYTES)
            .next_multiple_of(PAGE_BYTES);
        (start, end)
    };
    let mut until = end;
    for (start, stop) in keep.iter().filter(|range| !range.is_empty()).map(pages) {
        if start <= at && at < stop {
            return (true, stop.min(end));
        }
        if at < start {
            until = until.min(start);
        }
    }
    (false, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_of_different_kinds_side_by_side_is_one_range() {
        let region = |start, end, kind| MemoryRegion {
            start,
            len_bytes: end - start,
            kind,
        };
        let map = [
            region(0x1000, 0xa_0000, RegionKind::Usable),
            region(0xa_0000, 0x10_0000, RegionKind::Reserved),
            region(0x10_0000, 0x80_0000, RegionKind::Usable),
            region(0x80_0000, 0x81_0000, RegionKind::AcpiNvs),
            region(0x81_0000, 0x4000_0000, RegionKind::Loader),
            region(0xfec0_0000, 0xfec0_1000, RegionKind::Mmio),
            region(0x1_0000_0000, 0x2_0000_0000, RegionKind::Usable),
        ];
        assert!(ram_ranges(map.into_iter()).eq([
            PhysRange::new(0x1000, 0x9_f000),
            PhysRange::new(0x10_0000, 0x3ff0_0000),
            PhysRange::new(0x1_0000_0000, 0x1_0000_0000),
        ]));
    }

    #[test]
    fn kept_ranges_are_cut_out_in_whole_pages() {
        let keep = [
            PhysRange::new(0x5800, 0x900),
            PhysRange::new(0x2000, 0x1000),
        ];
        assert_eq!(next_piece(&keep, 0x1000, 0x9000), (false, 0x2000));
        assert_eq!(next_piece(&keep, 0x2000, 0x9000), (true, 0x3000));
        assert_eq!(next_piece(&keep, 0x3000, 0x9000), (false, 0x5000));
        assert_eq!(next_piece(&keep, 0x5000, 0x9000), (true, 0x7000));
        assert_eq!(next_piece(&keep, 0x7000, 0x9000), (false, 0x9000));
        assert_eq!(next_piece(&keep, 0x5000, 0x6000), (true, 0x6000));
    }
}
