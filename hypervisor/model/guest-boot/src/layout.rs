//! Where a guest's memory lies: RAM below and above the PCI hole, and what the hole holds.
//!
//! | from | to | what |
//! |---|---|---|
//! | 0 | 0x9FC00 | RAM; its first 1280 bytes are the firmware's ([`crate::bios`]) |
//! | 0x9FC00 | 0xA0000 | RAM the guest is told not to use: the firmware's extended data area |
//! | 0xA0000 | 0xC0000 | memory of the VGA adapter ([`VIDEO`]), in no memory map |
//! | 0xC0000 | 0x100000 | RAM the guest is told not to use; its last 128 KiB hold the ACPI tables and the firmware's ROM |
//! | 1 MiB | at most 2 GiB | RAM |
//! | 0xB0000000 | 0xC0000000 | PCI configuration space, memory-mapped ([`ECAM`]) |
//! | 0xC0000000 | 0xFEC00000 | windows of PCI functions ([`PCI_WINDOW`]) |
//! | 0xFEC00000 | 4 GiB | IOAPIC, HPET, local APIC, firmware |
//! | 4 GiB | … | the rest of RAM |

use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;

/// Where RAM below 4 GiB ends at the latest.
pub const HOLE_START: Gpa = Gpa::new(2 << 30);
/// Where RAM goes on behind the hole.
pub(crate) const ABOVE_HOLE: Gpa = Gpa::new(4 << 30);
/// The memory-mapped configuration space: 256 buses of 1 MiB each.
pub const ECAM: GpaRange = range(0xb000_0000, 0x1000_0000);
/// Where PCI functions may have their memory.
pub const PCI_WINDOW: GpaRange = range(0xc000_0000, 0x3ec0_0000);
/// The page of the IOAPIC.
pub const IO_APIC: GpaRange = range(0xfec0_0000, 0x1000);
/// The page of the local APIC.
pub const LOCAL_APIC: GpaRange = range(0xfee0_0000, 0x1000);
/// Where the ACPI tables go; its start is aligned as the root pointer has to be.
pub const TABLES: GpaRange = range(0xe_0000, 0x1_0000);
/// The firmware's segment F000h.
pub const FIRMWARE: GpaRange = range(0xf_0000, 0x1_0000);
/// The firmware's extended data area, which ends the RAM below the VGA window.
pub(crate) const EXTENDED_DATA: GpaRange = range(0x9_fc00, 0x400);

/// The window of the VGA adapter. Memory lies there, but it is the screen's.
pub const VIDEO: GpaRange = range(CONVENTIONAL_END, UPPER_START - CONVENTIONAL_END);

/// End of the RAM below the VGA window.
const CONVENTIONAL_END: u64 = 0xa_0000;
/// Where RAM goes on behind the VGA window.
const UPPER_START: u64 = 0xc_0000;
/// Where a PC's extended memory starts.
const MIB: u64 = 0x10_0000;
/// Less makes no guest.
const LEAST_BYTES: u64 = 2 * MIB;

#[expect(
    clippy::expect_used,
    reason = "only constants call it: a range that wraps does not compile"
)]
const fn range(start: u64, len_bytes: u64) -> GpaRange {
    GpaRange::new(Gpa::new(start), len_bytes).expect("constants of this file do not wrap")
}

/// What a region of the memory map is to the guest; the numbers are E820's. (ACPI 6.5 15.1, table 15.4)
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
    /// What for.
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
        let bytes = bytes.max(LEAST_BYTES) & !(PAGE_BYTES - 1);
        let below = bytes.min(HOLE_START.raw());
        // What would wrap past the end of the address space is cut; no machine holds so much.
        let above = (bytes - below).min((u64::MAX - ABOVE_HOLE.raw()) & !(PAGE_BYTES - 1));
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
            ABOVE_HOLE.wrapping_add(self.above_hole_bytes)
        }
    }

    /// The ranges to back with memory, [`MemoryLayout::ram`] and [`VIDEO`]: sorted, disjoint, whole pages.
    #[must_use]
    pub fn backed(&self) -> Vec<GpaRange> {
        let mut backed = Vec::with_capacity(2);
        backed.push(range(0, self.below_hole_end.raw()));
        if self.above_hole_bytes != 0 {
            backed.extend(GpaRange::new(ABOVE_HOLE, self.above_hole_bytes));
        }
        backed
    }

    /// The ranges a kernel may be loaded to: sorted, disjoint, whole pages.
    #[must_use]
    pub fn ram(&self) -> Vec<GpaRange> {
        let mut ram = Vec::with_capacity(3);
        ram.push(range(0, CONVENTIONAL_END));
        ram.extend(GpaRange::new(
            Gpa::new(UPPER_START),
            self.below_hole_end.raw() - UPPER_START,
        ));
        if self.above_hole_bytes != 0 {
            ram.extend(GpaRange::new(ABOVE_HOLE, self.above_hole_bytes));
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
            reserved(range(UPPER_START, MIB - UPPER_START)),
            usable(GpaRange::new(
                Gpa::new(MIB),
                self.below_hole_end.raw() - MIB,
            )),
            reserved(ECAM),
            reserved(IO_APIC),
            reserved(LOCAL_APIC),
            usable(GpaRange::new(ABOVE_HOLE, self.above_hole_bytes)),
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

    #[test]
    fn the_windows_do_not_touch() {
        let windows = [
            EXTENDED_DATA,
            TABLES,
            FIRMWARE,
            ECAM,
            PCI_WINDOW,
            IO_APIC,
            LOCAL_APIC,
        ];
        assert_sorted_and_disjoint(windows.into_iter());
        assert!(ECAM.start() >= HOLE_START);
    }
}
