//! Reading the exiting instruction through the guest's page tables and the nested ones.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use addr::{Gpa, Gva, Hpa, PAGE_BYTES};
use guest_memory::{GuestMemory, Unbacked};
use memory::direct;
use vcpu::{Access, InsnLen, Vcpu};
use x86::SegmentRegister;

use crate::SvmVcpu;
use crate::insn_len::Opcode;

/// Where the pages of code that exited last lie. A guest that sleeps and wakes exits in a few of them by turns.
///
/// They are only guesses: the guest may have mapped something else there since. One is right if the instruction that is known to
/// have exited stands there; see [`insn_len`](crate::insn_len).
pub(crate) struct CodePages([CodePage; CODE_PAGES]);

/// A power of two: the low bits of a page's number choose its place.
const CODE_PAGES: usize = 16;

impl CodePages {
    /// None known.
    pub(crate) const NONE: Self = Self([CodePage::NONE; CODE_PAGES]);

    /// The eight bytes at `linear`, if they lie in one of these pages.
    #[inline]
    fn peek(&self, linear: u64, cr3: u64) -> Option<u64> {
        self.0[Self::place(linear)].peek(linear, cr3)
    }

    fn remember(&mut self, page: CodePage) {
        self.0[Self::place(page.linear)] = page;
    }

    #[inline]
    fn place(linear: u64) -> usize {
        (linear / PAGE_BYTES) as usize % CODE_PAGES
    }
}

/// One of them.
#[derive(Clone, Copy)]
struct CodePage {
    linear: u64,
    cr3: u64,
    place: *const u8,
}

impl CodePage {
    const NONE: Self = Self {
        linear: u64::MAX,
        cr3: u64::MAX,
        place: core::ptr::null(),
    };

    /// The eight bytes at `linear`, if they lie in this page.
    #[inline]
    fn peek(&self, linear: u64, cr3: u64) -> Option<u64> {
        let offset = linear & (PAGE_BYTES - 1);
        if linear - offset != self.linear || cr3 != self.cr3 || offset > PAGE_BYTES - 8 {
            return None;
        }
        let at = self.place.wrapping_add(offset as usize);
        let word;
        // SAFETY: `place` is a page of the VM's RAM in the direct map: see `SvmVcpu::find_code_page`. An instruction of our
        // own, because the guest may be writing there.
        unsafe {
            asm!("mov {}, [{}]", out(reg) word, in(reg) at, options(nostack, preserves_flags, readonly));
        }
        Some(word)
    }
}

impl SvmVcpu {
    /// Length of the instruction that has just exited.
    #[inline]
    pub(crate) fn insn_len(&mut self, opcode: Opcode) -> InsnLen {
        if let Some(len) = self.len_to_next_rip() {
            return len;
        }
        let linear = self.linear_rip();
        match self.code_pages.peek(linear, self.vmcb.save.cr3) {
            Some(word) if opcode.is_at(word) => opcode.shortest(),
            _ => self.insn_len_slowly(opcode),
        }
    }

    /// The same, where the CPU saves the next RIP.
    #[inline]
    pub(crate) fn len_to_next_rip(&self) -> Option<InsnLen> {
        if !self.features.next_rip {
            return None;
        }
        let len = self.vmcb.control.next_rip.wrapping_sub(self.vmcb.save.rip);
        InsnLen::new(u8::try_from(len).unwrap_or(0))
    }

    #[cold]
    fn insn_len_slowly(&mut self, opcode: Opcode) -> InsnLen {
        let mut bytes = [0; 15];
        let fetched = self.fetch(&mut bytes);
        self.find_code_page();
        opcode
            .length(fetched, self.is_64_bit())
            .unwrap_or(opcode.shortest())
    }

    /// The bytes at RIP, as many as can be had.
    pub(crate) fn fetch<'a>(&self, bytes: &'a mut [u8; 15]) -> &'a [u8] {
        let count = slat::walk::fetch(&self.memory, &self.paging(), bytes).unwrap_or(0);
        bytes.get(..count).unwrap_or(&[])
    }

    /// Remembers the page RIP is in.
    fn find_code_page(&mut self) {
        let paging = self.paging();
        let page = self.linear_rip() & !(PAGE_BYTES - 1);
        let found = slat::walk::translate(
            &self.memory,
            &paging,
            Gva::new(page),
            Access::Execute,
            paging.cpl == 3,
        );
        if let Some(place) = found.ok().and_then(|gpa| self.memory.find(gpa, PRESENT)) {
            self.code_pages.remember(CodePage {
                linear: page,
                cr3: paging.cr3,
                place,
            });
        }
    }

    #[inline]
    fn linear_rip(&self) -> u64 {
        let rip = self.vmcb.save.rip;
        if self.is_64_bit() {
            return rip;
        }
        let base = self.vmcb.save.segment[SegmentRegister::Cs as usize].base;
        base.wrapping_add(rip) & 0xffff_ffff
    }
}

/// A VM's memory as its nested tables have it.
pub(crate) struct NestedMemory {
    root: Hpa,
}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

impl NestedMemory {
    /// # Safety
    /// `root` is a four-level nested table whose tables and pages are RAM, and stay so while this lives.
    pub(crate) const unsafe fn new(root: Hpa) -> Self {
        Self { root }
    }

    /// The top table.
    pub(crate) fn root(&self) -> Hpa {
        self.root
    }

    /// Where `gpa` lies, for the rest of its 4 KiB page, if the guest has the rights `wanted` there.
    fn find(&self, gpa: Gpa, wanted: u64) -> Option<*mut u8> {
        if gpa.raw() >> 48 != 0 {
            return None;
        }
        let mut table = self.root;
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let index = gpa.raw() >> shift & 0x1ff;
            let at = direct(table.wrapping_add(index * 8)).cast();
            // SAFETY: an aligned entry of a nested table, in RAM by the promise of `new`; others may write it, in one piece.
            let entry = unsafe { AtomicU64::from_ptr(at) }.load(Ordering::Relaxed);
            if entry & wanted != wanted {
                return None;
            }
            if level == 0 || (level < 3 && entry & LARGE != 0) {
                let offset_mask = (1 << shift) - 1;
                let start = entry & ADDRESS & !offset_mask;
                return Some(direct(Hpa::new(start | (gpa.raw() & offset_mask))));
            }
            table = Hpa::new(entry & ADDRESS);
        }
        None
    }

    fn byte(&self, at: Gpa, offset: usize, wanted: u64) -> Result<&AtomicU8, Unbacked> {
        let gpa = at.checked_add(offset as u64).ok_or(Unbacked)?;
        let place = self.find(gpa, wanted).ok_or(Unbacked)?;
        // SAFETY: RAM of the VM by the promise of `new`.
        Ok(unsafe { AtomicU8::from_ptr(place) })
    }

    fn word(&self, at: Gpa, wanted: u64) -> Result<&AtomicU64, Unbacked> {
        let place = self
            .find(at, wanted)
            .filter(|_| at.is_aligned(8))
            .ok_or(Unbacked)?;
        // SAFETY: aligned RAM of the VM by the promise of `new`.
        Ok(unsafe { AtomicU64::from_ptr(place.cast()) })
    }
}

/// For the walk and the fetch of [`slat::walk`], on a cold path: byte by byte.
impl GuestMemory for NestedMemory {
    fn read(&self, at: Gpa, into: &mut [u8]) -> Result<(), Unbacked> {
        for (offset, to) in into.iter_mut().enumerate() {
            *to = self.byte(at, offset, PRESENT)?.load(Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&self, at: Gpa, from: &[u8]) -> Result<(), Unbacked> {
        for (offset, from) in from.iter().enumerate() {
            self.byte(at, offset, PRESENT | WRITABLE)?
                .store(*from, Ordering::Relaxed);
        }
        Ok(())
    }

    fn load_u16(&self, at: Gpa, _order: Ordering) -> Result<u16, Unbacked> {
        let word = self
            .word(at.align_down(8), PRESENT)?
            .load(Ordering::Acquire);
        if !at.is_aligned(2) {
            return Err(Unbacked);
        }
        Ok((word >> ((at.raw() & 7) * 8)) as u16)
    }

    fn store_u16(&self, at: Gpa, value: u16, _order: Ordering) -> Result<(), Unbacked> {
        self.write(at, &value.to_le_bytes())
    }

    fn load_u64(&self, at: Gpa) -> Result<u64, Unbacked> {
        Ok(self.word(at, PRESENT)?.load(Ordering::Acquire))
    }

    fn compare_exchange_u64(&self, at: Gpa, current: u64, new: u64) -> Result<bool, Unbacked> {
        let result = self.word(at, PRESENT | WRITABLE)?.compare_exchange(
            current,
            new,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        Ok(result.is_ok())
    }

    fn fill(&self, at: Gpa, len_bytes: u64, byte: u8) -> Result<(), Unbacked> {
        for offset in 0..len_bytes {
            self.byte(
                at,
                usize::try_from(offset).map_err(|_| Unbacked)?,
                PRESENT | WRITABLE,
            )?
            .store(byte, Ordering::Relaxed);
        }
        Ok(())
    }
}
