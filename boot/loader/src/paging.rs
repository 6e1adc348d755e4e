//! The page tables the image starts on: four levels, W^X. (Intel SDM vol. 3A 4.5; AMD APM vol. 2 5.3)

use core::ptr::NonNull;

use handoff::{DIRECT_MAP_BASE, PhysRange, Protection};

use crate::pages::{NoMemory, Pages};

/// The size of the smallest page, and of a table.
pub(crate) const PAGE_BYTES: u64 = 4096;
const LARGE_PAGE_BYTES: u64 = 2 << 20;
const HUGE_PAGE_BYTES: u64 = 1 << 30;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// The level of a table whose entries name 4 KiB pages; one more names 2 MiB, and so on.
const LEAF_LEVEL: u32 = 1;
const TOP_LEVEL: u32 = 4;

/// A tree of page tables under construction. The firmware's tables stay in force meanwhile.
pub(crate) struct PageTables {
    root: u64,
}

impl PageTables {
    /// Starts with an empty tree.
    pub(crate) fn new() -> Result<Self, NoMemory> {
        Ok(Self {
            root: Pages::zeroed(PAGE_BYTES)?.range().start,
        })
    }

    /// The physical address of the top table, as CR3 wants it.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    /// Maps physical 0 to `len_bytes`, a multiple of 1 GiB, at the direct map's place: writable, not executable.
    pub(crate) fn map_direct(
        &mut self,
        len_bytes: u64,
        has_huge_pages: bool,
    ) -> Result<(), NoMemory> {
        let (level, step) = if has_huge_pages {
            (3, HUGE_PAGE_BYTES)
        } else {
            (2, LARGE_PAGE_BYTES)
        };
        for start in (0..len_bytes).step_by(step as usize) {
            self.set(
                DIRECT_MAP_BASE + start,
                level,
                start | PRESENT | WRITABLE | LARGE | NO_EXECUTE,
            )?;
        }
        Ok(())
    }

    /// Maps whole 4 KiB pages.
    pub(crate) fn map(
        &mut self,
        virt: u64,
        range: PhysRange,
        protection: Protection,
    ) -> Result<(), NoMemory> {
        let flags = match protection {
            Protection::ReadOnly => PRESENT | NO_EXECUTE,
            Protection::ReadExecute => PRESENT,
            Protection::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
        };
        for offset in (0..range.len_bytes).step_by(PAGE_BYTES as usize) {
            self.set(virt + offset, LEAF_LEVEL, (range.start + offset) | flags)?;
        }
        Ok(())
    }

    /// Stores the entry for `virt` in the table of `level`, making the tables above it.
    fn set(&mut self, virt: u64, level: u32, value: u64) -> Result<(), NoMemory> {
        let mut table = self.root;
        for above in (level + 1..=TOP_LEVEL).rev() {
            let entry = entry_of(table, virt, above);
            // SAFETY: see `entry_of`.
            let mut next = unsafe { entry.read() };
            if next & PRESENT == 0 {
                // Tables permit everything: the last entry alone decides.
                next = Pages::zeroed(PAGE_BYTES)?.range().start | PRESENT | WRITABLE;
                // SAFETY: see `entry_of`.
                unsafe { entry.write(next) };
            }
            table = next & ADDRESS_MASK;
        }
        let entry = entry_of(table, virt, level);
        // SAFETY: see `entry_of`.
        unsafe { entry.write(value) };
        Ok(())
    }
}

/// The entry for `virt` in a table of our tree. It may be read and written: every table is a whole page of ours, mapped one to one by the
/// firmware, the index is below 512, and no CPU walks the tree yet.
fn entry_of(table: u64, virt: u64, level: u32) -> NonNull<u64> {
    let index = virt >> (12 + 9 * (level - 1)) & 0x1ff;
    NonNull::new((table + index * 8) as *mut u64).expect("the firmware never gave us page 0")
}
