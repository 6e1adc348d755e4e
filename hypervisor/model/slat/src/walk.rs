//! The walk of the guest's own page tables, as the CPU does it, for what is executed on the guest's behalf.
//!
//! Follows Intel SDM vol. 3A chapter 4. Reserved address bits above the guest's physical width are not checked: such an
//! address is not RAM, and that is what the caller hears.

mod entry;

use addr::{Gpa, Gva, PAGE_BYTES};
use entry::{Geometry, Steps, geometry, load};
use guest_memory::GuestMemory;
use vcpu::{Access, Paging};
use x86::{Cr0, Cr4, Efer, Fault, Rflags};

/// Why a linear address leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkFault {
    /// The guest's own tables forbid it: its exception.
    Fault(Fault),
    /// A page table, or the code to be fetched, lies here, and that is not RAM.
    NotRam(Gpa),
}

/// Error-code bits of a page fault. (Intel SDM vol. 3A 4.7)
const PROTECTION: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const USER: u32 = 1 << 2;
const RESERVED: u32 = 1 << 3;
const FETCH: u32 = 1 << 4;

/// Number of times a walk starts again because another CPU changed an entry under it.
const RETRIES: u32 = 8;

/// Translates a linear address, sets the accessed and dirty flags and checks every right, as the CPU does.
///
/// `is_user` tells whether the access counts as one of CPL 3. Addresses outside IA-32e mode are cut to 32 bits.
///
/// # Errors
/// [`WalkFault::Fault`] with the page fault the guest is to get, or #GP for an address that is not canonical;
/// [`WalkFault::NotRam`] when a table does not lie in RAM.
pub fn translate(
    memory: &impl GuestMemory,
    paging: &Paging,
    gva: Gva,
    access: Access,
    is_user: bool,
) -> Result<Gpa, WalkFault> {
    let is_long = paging.efer & Efer::LONG_MODE_ACTIVE.bits() != 0;
    let gva = if is_long {
        gva
    } else {
        Gva::new(gva.raw() & 0xffff_ffff)
    };
    if paging.cr0 & Cr0::PAGING.bits() == 0 {
        return Ok(Gpa::new(gva.raw()));
    }
    let walk = Walk {
        paging,
        gva,
        access,
        is_user,
    };
    if let Some(at) = walk.glance(memory) {
        return Ok(at);
    }
    let geometry = geometry(paging);
    if is_long && !is_canonical(gva, geometry.linear_bits) {
        return Err(WalkFault::Fault(Fault::GENERAL_PROTECTION));
    }
    let mut tries = 0;
    loop {
        let (steps, at) = walk.descend(memory, &geometry)?;
        // A flag that could not be set because somebody else is rewriting the tables all the time is let go in the end: a
        // CPU of its own would have seen one of the states in between.
        if steps.mark(memory, access == Access::Write)? || tries == RETRIES {
            return Ok(at);
        }
        tries += 1;
    }
}

/// Reads the bytes of the instruction at CS:RIP, as many as can be had; returns how many, 1 to 15.
///
/// Less than 15 come when the next page cannot be fetched from, which matters only if the instruction goes on there.
///
/// # Errors
/// As [`translate`], for the first byte.
pub fn fetch(
    memory: &impl GuestMemory,
    paging: &Paging,
    into: &mut [u8; 15],
) -> Result<usize, WalkFault> {
    let gva = if paging.is_64_bit() {
        Gva::new(paging.rip)
    } else {
        Gva::new(paging.cs.base.wrapping_add(paging.rip) & 0xffff_ffff)
    };
    let is_user = paging.cpl == 3;
    let gpa = translate(memory, paging, gva, Access::Execute, is_user)?;
    let on_page = (PAGE_BYTES - gva.page_offset()) as usize;
    if on_page >= into.len() {
        return match memory.read(gpa, into) {
            Ok(()) => Ok(into.len()),
            Err(_) => Err(WalkFault::NotRam(gpa)),
        };
    }
    let (first, second) = into.split_at_mut(on_page);
    memory
        .read(gpa, first)
        .map_err(|_| WalkFault::NotRam(gpa))?;
    let next = gva.wrapping_add(on_page as u64);
    let rest = match translate(memory, paging, next, Access::Execute, is_user) {
        Ok(gpa) if memory.read(gpa, second).is_ok() => second.len(),
        _ => 0,
    };
    Ok(on_page + rest)
}

/// Returns whether the bits above `bits` all equal the one below them. (Intel SDM vol. 1 3.3.7.1)
fn is_canonical(gva: Gva, bits: u32) -> bool {
    let shift = 64 - bits;
    ((gva.raw() << shift) as i64 >> shift) as u64 == gva.raw()
}

struct Walk<'a> {
    paging: &'a Paging,
    gva: Gva,
    access: Access,
    is_user: bool,
}

impl Walk<'_> {
    /// The common case at a quarter of the cost: four levels, every right granted, every flag set already. `None` says nothing
    /// but that the long way must be gone.
    fn glance(&self, memory: &impl GuestMemory) -> Option<Gpa> {
        let is_four_levels = self.paging.efer & Efer::LONG_MODE_ACTIVE.bits() != 0
            && self.paging.cr4 & Cr4::L5_PAGING.bits() == 0;
        if !is_four_levels || !is_canonical(self.gva, 48) {
            return None;
        }
        let gva = self.gva.raw();
        let mut table = self.paging.cr3;
        let mut common = u64::MAX;
        let mut any = 0;
        for shift in [39u32, 30, 21, 12] {
            let at = (table & entry::ADDRESS) | ((gva >> shift) & 511) << 3;
            let entry = memory.load_u64(Gpa::new(at)).ok()?;
            common &= entry;
            any |= entry;
            table = entry;
            let is_large = entry & entry::PAGE_SIZE != 0 && shift != 12;
            if is_large || shift == 12 {
                let offset = (1u64 << shift) - 1;
                let below_page = offset & entry::ADDRESS & !(1 << 12);
                let mut wanted = entry::PRESENT | entry::ACCESSED;
                if self.access == Access::Write {
                    wanted |= entry::DIRTY;
                    // Only the leaf has it.
                    common |= entry & entry::DIRTY;
                }
                let is_plain = common & wanted == wanted
                    && shift != 39
                    && (!is_large || entry & below_page == 0);
                let may_disable = self.paging.efer & Efer::NO_EXECUTE_ENABLE.bits() != 0;
                let is_execute_disabled = any & entry::NO_EXECUTE != 0;
                if !is_plain || (is_execute_disabled && !may_disable) {
                    return None;
                }
                self.check(common, is_execute_disabled).ok()?;
                return Some(Gpa::new(
                    (entry & entry::ADDRESS & !offset) | (gva & offset),
                ));
            }
        }
        None
    }

    /// Goes down the tables and checks the rights; writes nothing.
    fn descend(
        &self,
        memory: &impl GuestMemory,
        geometry: &Geometry,
    ) -> Result<(Steps, Gpa), WalkFault> {
        let no_execute = self.paging.efer & Efer::NO_EXECUTE_ENABLE.bits() != 0;
        let mut steps = Steps::default();
        let mut table = geometry.root(self.paging.cr3);
        let mut level = geometry.levels - 1;
        let mut rights = entry::WRITABLE | entry::USER;
        let mut is_execute_disabled = false;
        loop {
            let at = table.wrapping_add(geometry.offset(self.gva, level));
            let entry = load(memory, at, geometry.entry_bytes).ok_or(WalkFault::NotRam(at))?;
            if entry & entry::PRESENT == 0 {
                return Err(self.fault(0));
            }
            let is_leaf = geometry.is_leaf(entry, level);
            if geometry.reserved(entry, level, is_leaf, no_execute) {
                return Err(self.fault(PROTECTION | RESERVED));
            }
            if !geometry.is_pdpte(level) {
                rights &= entry;
                is_execute_disabled |= no_execute && entry & entry::NO_EXECUTE != 0;
                steps.push(at, entry, geometry.entry_bytes);
            }
            if is_leaf {
                self.check(rights, is_execute_disabled)?;
                return Ok((steps, geometry.page(entry, level, self.gva)));
            }
            // The last level is always a leaf.
            level = level.saturating_sub(1);
            table = geometry.next(entry);
        }
    }

    /// Checks the rights of all levels together. (Intel SDM vol. 3A 4.6.1)
    fn check(&self, rights: u64, is_execute_disabled: bool) -> Result<(), WalkFault> {
        let cr4 = |flag: Cr4| self.paging.cr4 & flag.bits() != 0;
        let is_user_page = rights & entry::USER != 0;
        let is_writable = rights & entry::WRITABLE != 0;
        let is_allowed = match self.access {
            _ if self.is_user && !is_user_page => false,
            Access::Execute => {
                let is_smep = cr4(Cr4::SUPERVISOR_MODE_EXECUTION_PROTECTION);
                let is_prevented = is_smep && is_user_page && !self.is_user;
                !is_execute_disabled && !is_prevented
            }
            Access::Read | Access::Write => {
                let is_smap = cr4(Cr4::SUPERVISOR_MODE_ACCESS_PREVENTION);
                let alignment_check = self.paging.rflags & Rflags::ALIGNMENT_CHECK.bits() != 0;
                let is_prevented = is_smap && is_user_page && !self.is_user && !alignment_check;
                let write_protect = self.paging.cr0 & Cr0::WRITE_PROTECT.bits() != 0;
                let may_write = is_writable || (!self.is_user && !write_protect);
                !is_prevented && (self.access == Access::Read || may_write)
            }
        };
        if is_allowed {
            Ok(())
        } else {
            Err(self.fault(PROTECTION))
        }
    }

    fn fault(&self, mut code: u32) -> WalkFault {
        if self.is_user {
            code |= USER;
        }
        match self.access {
            Access::Read => {}
            Access::Write => code |= WRITE,
            Access::Execute => {
                let is_told = self.paging.cr4 & Cr4::SUPERVISOR_MODE_EXECUTION_PROTECTION.bits()
                    != 0
                    || (self.paging.cr4 & Cr4::PHYSICAL_ADDRESS_EXTENSION.bits() != 0
                        && self.paging.efer & Efer::NO_EXECUTE_ENABLE.bits() != 0);
                if is_told {
                    code |= FETCH;
                }
            }
        }
        WalkFault::Fault(Fault::page_fault(self.gva, code))
    }
}

#[cfg(test)]
mod tests;
