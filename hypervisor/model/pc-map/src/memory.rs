//! Guest-physical memory: what is not simply RAM.
//!
//! | from | to | what |
//! |---|---|---|
//! | 0 | 0x9FC00 | RAM; its first 1280 bytes are the firmware's |
//! | 0x9FC00 | 0xA0000 | RAM the guest is told not to use: [`EXTENDED_DATA`] |
//! | 0xA0000 | 0xC0000 | memory of the VGA adapter ([`VIDEO`]), in no memory map |
//! | 0xC0000 | 0x100000 | RAM the guest is told not to use; its last 128 KiB are [`ACPI_TABLES`] and [`FIRMWARE`] |
//! | 1 MiB | at most 2 GiB | RAM |
//! | 0xB0000000 | 0xC0000000 | PCI configuration space, memory-mapped ([`ECAM`]) |
//! | 0xC0000000 | 0xFEC00000 | windows of PCI functions ([`PCI_WINDOW`]) |
//! | 0xFEC00000 | 4 GiB | [`IO_APIC`], [`HPET`], [`LOCAL_APIC`], firmware |
//! | 4 GiB | … | the rest of RAM |
//!
//! The pages of the chips are those of the ICH9 datasheet, section 9.4; what the firmware has below
//! 1 MiB is where IBM's PCs have it.

use crate::map;
use addr::{Gpa, GpaRange};

map! {
    ALL: GpaRange;

    /// The firmware's extended data area, which ends the RAM below the VGA window.
    EXTENDED_DATA = range(0x9_fc00, 0x400);
    /// The window of the VGA adapter. Memory lies there, but it is the screen's.
    VIDEO = range(0xa_0000, 0x2_0000);
    /// The ACPI tables; its start is aligned as the root pointer has to be, and lies where a guest
    /// looks for it. (ACPI 6.5 5.2.5.1)
    ACPI_TABLES = range(0xe_0000, 0x1_0000);
    /// The firmware's segment F000h.
    FIRMWARE = range(0xf_0000, 0x1_0000);
    /// The memory-mapped configuration space: 256 buses of 1 MiB each. (PCI Express 3.0 7.2.2)
    ECAM = range(0xb000_0000, 0x1000_0000);
    /// Where PCI functions may have their memory.
    PCI_WINDOW = range(0xc000_0000, 0x3ec0_0000);
    /// The page of the IOAPIC.
    IO_APIC = range(0xfec0_0000, 0x1000);
    /// The page of the HPET.
    HPET = range(0xfed0_0000, 0x1000);
    /// The page of the local APIC. (Intel SDM vol. 3A 11.4.1)
    LOCAL_APIC = range(0xfee0_0000, 0x1000);
}

/// The characters of the colour text screen, in [`VIDEO`].
pub const TEXT_SCREEN: Gpa = Gpa::new(0xb_8000);
/// Where RAM goes on behind the VGA window.
pub const UPPER_START: Gpa = VIDEO.end();
/// Where a PC's extended memory starts.
pub const EXTENDED_START: Gpa = Gpa::new(1 << 20);
/// Where RAM below 4 GiB ends at the latest.
pub const HOLE_START: Gpa = Gpa::new(2 << 30);
/// Where RAM goes on behind the hole.
pub const HOLE_END: Gpa = Gpa::new(4 << 30);

const _: () = assert!(are_disjoint(ALL));
const _: () = assert!(EXTENDED_DATA.end().raw() == VIDEO.start().raw());
const _: () = assert!(VIDEO.contains(TEXT_SCREEN));
const _: () = assert!(FIRMWARE.end().raw() == EXTENDED_START.raw());
const _: () = assert!(HOLE_START.raw() <= ECAM.start().raw());
const _: () = assert!(LOCAL_APIC.end().raw() <= HOLE_END.raw());

#[expect(
    clippy::expect_used,
    reason = "only constants call it: a range that wraps does not compile"
)]
const fn range(start: u64, len_bytes: u64) -> GpaRange {
    GpaRange::new(Gpa::new(start), len_bytes).expect("constants of this file do not wrap")
}

/// Returns whether none of the ranges is empty, and each begins behind the end of the one before.
const fn are_disjoint(mut ranges: &[(&str, GpaRange)]) -> bool {
    while let [(_, first), rest @ ..] = ranges {
        if first.is_empty() {
            return false;
        }
        if let [(_, next), ..] = rest
            && next.start().raw() < first.end().raw()
        {
            return false;
        }
        ranges = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_byte_or_an_empty_range_is_found() {
        assert!(are_disjoint(&[("a", range(0, 2)), ("b", range(2, 1))]));
        assert!(!are_disjoint(&[("a", range(0, 3)), ("b", range(2, 1))]));
        assert!(!are_disjoint(&[("a", range(0, 0))]));
    }
}
