//! The state a 64-bit entry starts in: long mode, flat segments, the first 4 GiB mapped to themselves.
//!
//! (Linux/x86 boot protocol, "64-bit boot protocol"; Intel SDM vol. 3A 5.5 for the tables, 3.5 for the descriptors)

use crate::low_memory::{CODE_SELECTOR, DATA_SELECTOR, GDT, STACK_TOP, TABLES};
use crate::plan::Write;
use alloc::vec::Vec;
use vcpu::ArchState;
use x86::{Attributes, Cr0, Cr4, DescriptorTable, Efer, Gpr, Segment, SegmentRegister};

/// Null, null, flat 64-bit code at 0x10, flat data at 0x18.
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE_PAGE: u64 = 1 << 7;
const LARGE_PAGE_BYTES: u64 = 2 << 20;
const TABLE_BYTES: u64 = 4096;
const LEVEL_2_TABLES: u64 = 4;

/// The GDT and the page tables.
pub(crate) fn writes<'a>() -> [Write<'a>; 2] {
    let gdt: Vec<u8> = DESCRIPTORS
        .iter()
        .flat_map(|entry| entry.to_le_bytes())
        .collect();
    [Write::made(GDT, gdt), Write::made(TABLES, identity_map())]
}

fn identity_map() -> Vec<u8> {
    let table = |number: u64| (TABLES.raw() + number * TABLE_BYTES) | PRESENT_WRITABLE;
    let entries_per_table = TABLE_BYTES / 8;
    let padded = |used: u64| (used..entries_per_table).map(|_| 0);
    let level_4 = core::iter::once(table(1)).chain(padded(1));
    let level_3 = (0..LEVEL_2_TABLES)
        .map(|number| table(2 + number))
        .chain(padded(LEVEL_2_TABLES));
    let level_2 = (0..LEVEL_2_TABLES * entries_per_table)
        .map(|page| (page * LARGE_PAGE_BYTES) | LARGE_PAGE | PRESENT_WRITABLE);
    level_4
        .chain(level_3)
        .chain(level_2)
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// The state at a 64-bit entry at `rip`: interrupts off, and all registers zero but RIP and RSP.
pub(crate) fn start(rip: u64) -> ArchState {
    let mut state = ArchState::after_reset();
    let flat = |selector, attributes| Segment {
        selector,
        attributes: Attributes(attributes),
        limit: u32::MAX,
        base: 0,
    };
    let present = Attributes::PRESENT | Attributes::CODE_OR_DATA | Attributes::GRANULARITY;
    state.segment = [flat(DATA_SELECTOR, present | Attributes::DEFAULT_BIG | 0x3); 6];
    *SegmentRegister::Cs.of_mut(&mut state.segment) =
        flat(CODE_SELECTOR, present | Attributes::LONG | 0xb);
    state.gdtr = DescriptorTable {
        base: GDT.raw(),
        limit: (size_of_val(&DESCRIPTORS) - 1) as u16,
    };
    state.idtr = DescriptorTable { base: 0, limit: 0 };
    state.gpr = [0; 16];
    *Gpr::Rsp.of_mut(&mut state.gpr) = STACK_TOP;
    state.rip = rip;
    state.cr0 = (Cr0::PROTECTED_MODE_ENABLE
        | Cr0::EXTENSION_TYPE
        | Cr0::NUMERIC_ERROR
        | Cr0::WRITE_PROTECT
        | Cr0::PAGING)
        .bits();
    state.cr3 = TABLES.raw();
    state.cr4 = Cr4::PHYSICAL_ADDRESS_EXTENSION.bits();
    state.efer = (Efer::LONG_MODE_ENABLE | Efer::LONG_MODE_ACTIVE).bits();
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::low_memory::TABLES_END;
    use crate::plan::Content;

    #[test]
    fn the_identity_map_ends_at_4_gib() {
        let [_, tables] = writes();
        let Content::Bytes(bytes) = tables.content else {
            panic!("tables are bytes")
        };
        assert_eq!(bytes.len() as u64, TABLES_END - TABLES.raw());
        let entry =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!(entry(0), 0xa003);
        assert_eq!(entry(0x1000 + 3 * 8), 0xe003);
        assert_eq!(entry(0x1000 + 4 * 8), 0);
        assert_eq!(entry(0x5ff8), 0xffe0_0083);
    }
}
