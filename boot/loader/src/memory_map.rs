//! The firmware's memory map, as ours. (UEFI 2.10 section 7.2, tables 7.6 and 7.10)

use alloc::vec::Vec;

use handoff::{Framebuffer, MemoryRegion, RegionKind};
use uefi::boot;
use uefi::mem::memory_map::{MemoryMap, MemoryMapOwned, MemoryType};

use crate::paging::PAGE_BYTES;
use crate::stop::Stop;

const GIB: u64 = 1 << 30;
/// The lower half of the address space less a margin: what the direct map has room for.
const DIRECT_MAP_LIMIT: u64 = 64 << 40;

/// Returns how much RAM the machine has, the firmware's own included.
pub(crate) fn ram_bytes() -> Result<u64, Stop> {
    sum(RegionKind::is_ram)
}

/// Returns how much RAM will be free when the firmware is gone.
pub(crate) fn usable_bytes() -> Result<u64, Stop> {
    sum(|kind| kind == RegionKind::Usable)
}

fn sum(counts: impl Fn(RegionKind) -> bool) -> Result<u64, Stop> {
    Ok(now()?
        .iter()
        .filter(|region| counts(region.kind))
        .map(|region| region.len_bytes)
        .sum())
}

/// Returns how much physical memory the direct map covers: at least 4 GiB, all RAM and the screen,
/// in whole GiB.
pub(crate) fn direct_map_len_bytes(screen: Option<Framebuffer>) -> Result<u64, Stop> {
    let ram_end = now()?
        .iter()
        .filter(|region| region.kind.is_ram())
        .map(MemoryRegion::end)
        .max()
        .unwrap_or(0);
    let screen_end = screen.map_or(0, |screen| screen.base + screen.len_bytes);
    let len_bytes = ram_end.max(screen_end).max(4 * GIB).next_multiple_of(GIB);
    if len_bytes > DIRECT_MAP_LIMIT {
        return Err(Stop::new(
            alloc::format!("memory ends at {len_bytes:#x}, beyond what the hypervisor can map"),
            "",
        ));
    }
    Ok(len_bytes)
}

/// The map as it is now; any allocation may change it.
fn now() -> Result<Vec<MemoryRegion>, Stop> {
    let map = boot::memory_map(MemoryType::LOADER_DATA)?;
    let mut regions = Vec::with_capacity(capacity_for(map.len()));
    convert(&map, &mut regions);
    Ok(regions)
}

/// Enough places for [`convert`] of a map of `count` entries.
fn capacity_for(count: usize) -> usize {
    count + 1
}

/// Fills `regions` from the firmware's map: sorted, joined, without overlap. Allocates nothing as long as the capacity suffices, so it works
/// after the end of boot services; entries beyond it are left out.
pub(crate) fn convert(map: &MemoryMapOwned, regions: &mut Vec<MemoryRegion>) {
    regions.clear();
    for entry in map.entries().filter(|entry| entry.page_count > 0) {
        let region = MemoryRegion {
            start: entry.phys_start,
            len_bytes: entry.page_count.saturating_mul(PAGE_BYTES),
            kind: kind_of(entry.ty),
        };
        push(regions, region);
    }
    regions.sort_unstable_by_key(|region| region.start);
    reserve_page_zero(regions);
    join(regions);
}

fn push(regions: &mut Vec<MemoryRegion>, region: MemoryRegion) {
    if regions.len() < regions.capacity() {
        regions.push(region);
    }
}

/// Page 0 is RAM on a PC, but its address is a null pointer and its content the real-mode interrupt table: nobody shall get it.
fn reserve_page_zero(regions: &mut Vec<MemoryRegion>) {
    let has_room = regions.len() < regions.capacity();
    let Some(first) = regions
        .first_mut()
        .filter(|first| first.start == 0 && first.kind == RegionKind::Usable)
    else {
        return;
    };
    if first.len_bytes == PAGE_BYTES {
        first.kind = RegionKind::Reserved;
    } else if has_room {
        first.start += PAGE_BYTES;
        first.len_bytes -= PAGE_BYTES;
        regions.insert(
            0,
            MemoryRegion {
                start: 0,
                len_bytes: PAGE_BYTES,
                kind: RegionKind::Reserved,
            },
        );
    }
}

/// Joins neighbours of one kind, and cuts what overlaps its predecessor: firmware has been seen to report that.
fn join(regions: &mut Vec<MemoryRegion>) {
    let mut kept: usize = 0;
    for index in 0..regions.len() {
        let Some(mut region) = regions.get(index).copied() else {
            break;
        };
        let last = kept.checked_sub(1).and_then(|last| regions.get_mut(last));
        if let Some(last) = last {
            let end = region.end();
            region.start = region.start.max(last.end());
            if region.start >= end {
                continue;
            }
            region.len_bytes = end - region.start;
            if last.kind == region.kind && last.end() == region.start {
                last.len_bytes += region.len_bytes;
                continue;
            }
        }
        if let Some(place) = regions.get_mut(kept) {
            *place = region;
            kept += 1;
        }
    }
    regions.truncate(kept);
}

fn kind_of(kind: MemoryType) -> RegionKind {
    match kind {
        // The loader's code is done with once the image runs; what the image needs is loader data.
        MemoryType::CONVENTIONAL
        | MemoryType::BOOT_SERVICES_CODE
        | MemoryType::BOOT_SERVICES_DATA
        | MemoryType::LOADER_CODE => RegionKind::Usable,
        MemoryType::LOADER_DATA => RegionKind::Loader,
        MemoryType::ACPI_RECLAIM => RegionKind::AcpiReclaimable,
        MemoryType::ACPI_NON_VOLATILE => RegionKind::AcpiNvs,
        MemoryType::RUNTIME_SERVICES_CODE | MemoryType::RUNTIME_SERVICES_DATA => {
            RegionKind::RuntimeServices
        }
        MemoryType::MMIO | MemoryType::MMIO_PORT_SPACE => RegionKind::Mmio,
        // Reserved, unusable, PAL code, persistent, unaccepted, and whatever a vendor invented.
        _ => RegionKind::Reserved,
    }
}
