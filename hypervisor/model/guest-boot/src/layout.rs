//! Where a guest's memory lies: RAM below and above the PCI hole, and what the guest is told of the rest.
//!
//! The places themselves are those of [`pc_map::memory`].

use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;
use pc_map::memory::{
    ECAM, EXTENDED_DATA, EXTENDED_START, HOLE_END, HOLE_START, IO_APIC, LOCAL_APIC, UPPER_START,
    VIDEO,
};

/// Less makes no guest.
const MIN_BYTES: u64 = 2 << 20;

#[expect(
    clippy::expect_used,
    reason = "only constants call it: a range that wraps does not compile"
)]
const fn range(start: u64, len_bytes: u64) -> GpaRange {
    GpaRange::new(Gpa::new(start), len_bytes).expect("constants of this file do not wrap")
}

/// Kind of a region of the memory map; the numbers are E820's. (ACPI 6.5 15.1, table 15.4)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RegionKind {
    /// RAM to use.
    Usable = 1,
    /// Not to be used.
    Reserved = 2,
}

/// A region of the memory map as the guest is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where.
    pub range: GpaRange,
    /// Kind of the region.
    pub kind: RegionKind,
}

/// Where the RAM of one guest lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLayout {
    below_hole_end: Gpa,
    above_hole_bytes: u64,
}

impl MemoryLayout {
    /// The layout of a guest with `bytes` bytes of memory: rounded down to whole pages, taken as 2 MiB when less.
    ///
    /// As on a PC the 128 KiB under the VGA window are no RAM, so the RAM ranges hold that much less.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let bytes = bytes.max(MIN_BYTES) & !(PAGE_BYTES - 1);
        let below = bytes.min(HOLE_START.raw());
        // What would wrap past the end of the address space is cut; no machine holds so much.
        let above = (bytes - below).min((u64::MAX - HOLE_END.raw()) & !(PAGE_BYTES - 1));
        Self {
            below_hole_end: Gpa::new(below),
            above_hole_bytes: above,
        }
    }

    /// First address behind the RAM below 4 GiB, at least 2 MiB and at most [`HOLE_START`].
    #[must_use]
    pub const fn below_hole_end(&self) -> Gpa {
        self.below_hole_end
    }

    /// First address behind all RAM.
    #[must_use]
    pub const fn end(&self) -> Gpa {
        if self.above_hole_bytes == 0 {
            self.below_hole_end
        } else {
            HOLE_END.wrapping_add(self.above_hole_bytes)
        }
    }

    /// The ranges to back with memory, [`MemoryLayout::ram`] and [`VIDEO`]: sorted, disjoint, whole pages.
    #[must_use]
    pub fn backed(&self) -> Vec<GpaRange> {
        let mut backed = Vec::with_capacity(2);
        backed.push(range(0, self.below_hole_end.raw()));
        if self.above_hole_bytes != 0 {
            backed.extend(GpaRange::new(HOLE_END, self.above_hole_bytes));
        }
        backed
    }

    /// The ranges a kernel may be loaded to: sorted, disjoint, whole pages.
    #[must_use]
    pub fn ram(&self) -> Vec<GpaRange> {
        let mut ram = Vec::with_capacity(3);
        ram.push(range(0, VIDEO.start().raw()));
        ram.extend(GpaRange::new(
            UPPER_START,
            self.below_hole_end.raw() - UPPER_START.raw(),
        ));
        if self.above_hole_bytes != 0 {
            ram.extend(GpaRange::new(HOLE_END, self.above_hole_bytes));
        }
        ram
    }

    /// The memory map for the guest: sorted and disjoint.
    #[must_use]
    pub fn map(&self) -> Vec<Region> {
        self.regions().collect()
    }

    /// The entries of [`MemoryLayout::map`], for who must not allocate.
    pub fn regions(&self) -> impl Iterator<Item = Region> + use<> {
        let usable = |range: Option<GpaRange>| (range, RegionKind::Usable);
        let reserved = |range| (Some(range), RegionKind::Reserved);
        [
            usable(Some(range(0, EXTENDED_DATA.start().raw()))),
            reserved(EXTENDED_DATA),
            reserved(range(
                UPPER_START.raw(),
                EXTENDED_START.raw() - UPPER_START.raw(),
            )),
            usable(GpaRange::new(
                EXTENDED_START,
                self.below_hole_end.raw() - EXTENDED_START.raw(),
            )),
            reserved(ECAM),
            reserved(IO_APIC),
            reserved(LOCAL_APIC),
            usable(GpaRange::new(HOLE_END, self.above_hole_bytes)),
        ]
        .into_iter()
        .filter_map(|(range, kind)| {
            let range = range.filter(|range| !range.is_empty())?;
            Some(Region { range, kind })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_sorted_and_disjoint(ranges: impl Iterator<Item = GpaRange>) {
        let mut end = Gpa::new(0);
        for range in ranges {
            assert!(
                range.start() >= end && !range.is_empty(),
                "{range:?} begins before {end}"
            );
            end = range.end();
        }
    }

    #[test]
    fn ranges_are_sorted_and_disjoint_at_every_size() {
        for mib in [0, 2, 16, 512, 2047, 2048, 2049, 8192, u64::MAX >> 20] {
            let layout = MemoryLayout::new(mib << 20);
            assert_sorted_and_disjoint(layout.ram().into_iter());
            assert_sorted_and_disjoint(layout.backed().into_iter());
            assert_sorted_and_disjoint(layout.regions().map(|region| region.range));
        }
        assert_eq!(MemoryLayout::new(u64::MAX).ram().len(), 3);
    }

    #[test]
    fn what_is_usable_is_ram() {
        let layout = MemoryLayout::new(5 << 30);
        let ram = layout.ram();
        for region in layout.map() {
            let is_ram = ram
                .iter()
                .any(|r| r.start() <= region.range.start() && region.range.end() <= r.end());
            assert!(is_ram || region.kind != RegionKind::Usable, "{region:?}");
        }
        assert_eq!(layout.end(), Gpa::new(7 << 30));
    }

    #[test]
    fn the_screen_has_memory_that_is_nobody_elses() {
        let layout = MemoryLayout::new(5 << 30);
        let backed = layout.backed();
        let is_backed = |range: &GpaRange| {
            backed
                .iter()
                .any(|b| b.start() <= range.start() && range.end() <= b.end())
        };
        assert!(is_backed(&VIDEO) && layout.ram().iter().all(is_backed));
        assert!(!layout.ram().iter().any(|range| range.overlaps(&VIDEO)));
        assert!(
            !layout
                .map()
                .iter()
                .any(|region| region.range.overlaps(&VIDEO))
        );
    }

    #[test]
    fn memory_up_to_2_gib_stays_below_the_hole() {
        let layout = MemoryLayout::new(2 << 30);
        assert_eq!(layout.end(), HOLE_START);
        assert_eq!(layout.ram().len(), 2);
    }
}
