//! Entries of the guest's page tables in all paging modes. (Intel SDM vol. 3A 4.3 to 4.5)

use super::WalkFault;
use addr::{Gpa, Gva};
use guest_memory::GuestMemory;
use vcpu::Paging;
use x86::{Cr4, Efer};

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const ACCESSED: u64 = 1 << 5;
pub(super) const DIRTY: u64 = 1 << 6;
pub(super) const PAGE_SIZE: u64 = 1 << 7;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The shape of one paging mode.
pub(super) struct Geometry {
    /// Levels of tables: 2 to 5.
    pub(super) levels: u32,
    /// 4 or 8.
    pub(super) entry_bytes: u32,
    /// Width of a linear address.
    pub(super) linear_bits: u32,
    /// Index bits of one level: 10 or 9.
    index_bits: u32,
    /// The highest level in which a leaf may be.
    largest_leaf: u32,
}

/// The mode that CR4 and EFER select, paging being on.
pub(super) fn geometry(paging: &Paging) -> Geometry {
    let long = |levels, linear_bits| Geometry {
        levels,
        entry_bytes: 8,
        linear_bits,
        index_bits: 9,
        largest_leaf: 2,
    };
    if paging.efer & Efer::LONG_MODE_ACTIVE.bits() != 0 {
        if paging.cr4 & Cr4::L5_PAGING.bits() != 0 {
            return long(5, 57);
        }
        return long(4, 48);
    }
    if paging.cr4 & Cr4::PHYSICAL_ADDRESS_EXTENSION.bits() != 0 {
        return Geometry {
            largest_leaf: 1,
            ..long(3, 32)
        };
    }
    let has_large = paging.cr4 & Cr4::PAGE_SIZE_EXTENSION.bits() != 0;
    Geometry {
        levels: 2,
        entry_bytes: 4,
        linear_bits: 32,
        index_bits: 10,
        largest_leaf: u32::from(has_large),
    }
}

impl Geometry {
    fn is_pae(&self) -> bool {
        self.levels == 3
    }

    fn is_legacy(&self) -> bool {
        self.levels == 2
    }

    /// Returns whether entries of `level` are PAE's page-directory pointers, which carry no rights
    /// and no accessed flag.
    pub(super) fn is_pdpte(&self, level: u32) -> bool {
        self.is_pae() && level == 2
    }

    /// Where CR3 says the top table is.
    pub(super) fn root(&self, cr3: u64) -> Gpa {
        Gpa::new(if self.is_pae() {
            cr3 & 0xffff_ffe0
        } else if self.is_legacy() {
            cr3 & 0xffff_f000
        } else {
            cr3 & ADDRESS
        })
    }

    const fn shift(&self, level: u32) -> u32 {
        12 + self.index_bits * level
    }

    /// Offset of the entry for `gva` in its table of `level`.
    pub(super) fn offset(&self, gva: Gva, level: u32) -> u64 {
        let mask = (1u64 << self.index_bits) - 1;
        ((gva.raw() >> self.shift(level)) & mask) * u64::from(self.entry_bytes)
    }

    /// Returns whether a present entry maps a page.
    pub(super) fn is_leaf(&self, entry: u64, level: u32) -> bool {
        level == 0 || (level <= self.largest_leaf && entry & PAGE_SIZE != 0)
    }

    /// Returns whether a present entry has a bit set that must be clear.
    pub(super) fn reserved(&self, entry: u64, level: u32, is_leaf: bool, no_execute: bool) -> bool {
        if self.is_legacy() {
            // 4 MiB pages with 40-bit addresses: bit 21.
            return level == 1 && is_leaf && entry & (1 << 21) != 0;
        }
        if self.is_pdpte(level) {
            return entry & (NO_EXECUTE | 0x1e6) != 0;
        }
        if entry & NO_EXECUTE != 0 && !no_execute {
            return true;
        }
        if self.is_pae() && entry & 0x7ff0_0000_0000_0000 != 0 {
            return true;
        }
        if is_leaf && level > 0 {
            // Address bits below the page's size, but bit 12, which is PAT.
            return entry & ((1 << self.shift(level)) - 1) & ADDRESS & !(1 << 12) != 0;
        }
        // Page-size bit where no leaf can be: PML4 and PML5 entries.
        level > self.largest_leaf && entry & PAGE_SIZE != 0
    }

    /// Where a leaf of `level` puts `gva`.
    pub(super) fn page(&self, entry: u64, level: u32, gva: Gva) -> Gpa {
        let offset_mask = (1u64 << self.shift(level)) - 1;
        let mut start = entry & ADDRESS & !offset_mask;
        if self.is_legacy() && level == 1 {
            // PSE-36: bits 13 to 20 are bits 32 to 39 of the address.
            start |= ((entry >> 13) & 0xff) << 32;
        }
        Gpa::new(start | (gva.raw() & offset_mask))
    }

    /// The table a present entry that is no leaf points to.
    pub(super) fn next(&self, entry: u64) -> Gpa {
        Gpa::new(entry & ADDRESS)
    }
}

/// Reads one entry of 4 or 8 bytes in one piece.
pub(super) fn load(memory: &impl GuestMemory, at: Gpa, entry_bytes: u32) -> Option<u64> {
    let whole = memory.load_u64(at.align_down(8)).ok()?;
    Some(if entry_bytes == 8 {
        whole
    } else if at.is_aligned(8) {
        whole & 0xffff_ffff
    } else {
        whole >> 32
    })
}

/// The entries a walk went through.
#[derive(Default)]
pub(super) struct Steps {
    steps: [(Gpa, u64); 5],
    count: usize,
    is_narrow: bool,
}

impl Steps {
    pub(super) fn push(&mut self, at: Gpa, entry: u64, entry_bytes: u32) {
        if let Some(step) = self.steps.get_mut(self.count) {
            *step = (at, entry);
            self.count += 1;
        }
        self.is_narrow = entry_bytes == 4;
    }

    /// Sets the accessed flag in every entry and, for a write, the dirty flag in the last; returns `false` when an entry has
    /// changed meanwhile.
    pub(super) fn mark(
        &self,
        memory: &impl GuestMemory,
        is_write: bool,
    ) -> Result<bool, WalkFault> {
        for (number, (at, entry)) in self.steps.iter().take(self.count).enumerate() {
            let is_leaf = number + 1 == self.count;
            let flags = if is_leaf && is_write {
                ACCESSED | DIRTY
            } else {
                ACCESSED
            };
            if entry & flags != flags && !self.replace(memory, *at, *entry, entry | flags)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn replace(
        &self,
        memory: &impl GuestMemory,
        at: Gpa,
        old: u64,
        new: u64,
    ) -> Result<bool, WalkFault> {
        let not_ram = |_| WalkFault::NotRam(at);
        let place = at.align_down(8);
        if !self.is_narrow {
            return memory
                .compare_exchange_u64(place, old, new)
                .map_err(not_ram);
        }
        // The neighbour's four bytes are taken as they are now.
        let whole = memory.load_u64(place).map_err(not_ram)?;
        let shift = if at.is_aligned(8) { 0 } else { 32 };
        if (whole >> shift) & 0xffff_ffff != old {
            return Ok(false);
        }
        let kept = whole & !(0xffff_ffff << shift);
        memory
            .compare_exchange_u64(place, whole, kept | (new << shift))
            .map_err(not_ram)
    }
}
