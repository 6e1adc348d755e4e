//! What of a vCPU stays in the physical CPU while the hypervisor runs, and how it makes room for another vCPU.
//!
//! Per physical CPU there is one current VMCS and one owner of the live state: CR2, DR0 to DR3, DR6, the MSRs that no VMCS field
//! holds, XCR0 and the vector registers. The hypervisor uses none of them, so they are exchanged only when another vCPU runs.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::asm;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use cpu::{
    VectorState, cpuid, cpuid_count, has_cpuid_leaf, has_extended_leaf, host_xcr0, read_cr2,
    read_msr, write_msr, write_xcr0,
};
use vcpu::{ArchState, GuestMsr};
use x86::msr;

use crate::resident::resident;

/// The live state of one vCPU while it is not in the registers; XCR0 is right at all times.
pub(crate) struct Live {
    cr2: u64,
    dr: [u64; 4],
    dr6: u64,
    msrs: [u64; LIVE_MSRS.len()],
    xcr0: u64,
    vector: VectorState,
    has_rdtscp: bool,
    has_xsaves: bool,
    has_xsave: bool,
}

/// The MSRs among the live state. The last two exist only with RDTSCP and XSAVES.
const LIVE_MSRS: [u32; 7] = [
    msr::IA32_STAR,
    msr::IA32_LSTAR,
    msr::IA32_CSTAR,
    msr::IA32_FMASK,
    msr::IA32_KERNEL_GS_BASE,
    msr::IA32_TSC_AUX,
    msr::IA32_XSS,
];

/// Where an MSR is in [`LIVE_MSRS`].
const fn slot_of(msr: GuestMsr) -> Option<usize> {
    Some(match msr {
        GuestMsr::Star => 0,
        GuestMsr::Lstar => 1,
        GuestMsr::Cstar => 2,
        GuestMsr::Sfmask => 3,
        GuestMsr::KernelGsBase => 4,
        GuestMsr::TscAux => 5,
        GuestMsr::Xss => 6,
        _ => return None,
    })
}

/// A vCPU's own live state, wherever it is at the moment.
pub(crate) struct LiveState {
    state: NonNull<Live>,
    home: u32,
}

// SAFETY: the pointer is to a heap allocation of its own. It is shared with `RESIDENT[home]` only, and both sides are used on
// the home CPU alone: `is_resident` and `make_resident` check it.
unsafe impl Send for LiveState {}

impl LiveState {
    /// The state after reset, of a vCPU whose home is CPU `home`.
    pub(crate) fn new(home: u32) -> Self {
        let live = Box::new(Live {
            cr2: 0,
            dr: [0; 4],
            dr6: 0xffff_0ff0,
            msrs: [0; LIVE_MSRS.len()],
            xcr0: 1,
            vector: VectorState::new(),
            has_rdtscp: has_extended_leaf(0x8000_0001) && cpuid(0x8000_0001).edx >> 27 & 1 != 0,
            has_xsaves: has_cpuid_leaf(0xd) && cpuid_count(0xd, 1).eax >> 3 & 1 != 0,
            has_xsave: host_xcr0().is_some(),
        });
        Self {
            state: NonNull::from(Box::leak(live)),
            home,
        }
    }

    /// Puts the state into the registers, moving out another vCPU's.
    #[inline]
    pub(crate) fn make_resident(&self) {
        if !self.is_resident() {
            self.exchange();
        }
    }

    #[cold]
    fn exchange(&self) {
        assert!(cpu::this().id() == self.home, "a vCPU runs on its home CPU");
        self.evict_owner();
        // SAFETY: ours, on its home CPU, and no other reference to it exists: see `Send`.
        let live = unsafe { self.state.as_ref() };
        live.put();
        resident(self.home)
            .owner
            .store(self.state.as_ptr(), Ordering::Relaxed);
    }

    fn evict_owner(&self) {
        let owner = resident(self.home)
            .owner
            .swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: an owner is alive (its drop leaves the place) and its home is this CPU, so nobody else uses it now.
        if let Some(owner) = unsafe { owner.as_mut() } {
            owner.take();
        }
    }

    #[inline]
    fn is_resident(&self) -> bool {
        resident(self.home).owner.load(Ordering::Relaxed) == self.state.as_ptr()
    }

    fn live(&self) -> &Live {
        // SAFETY: see `Send`; `&self` keeps writers away.
        unsafe { self.state.as_ref() }
    }

    fn live_mut(&mut self) -> &mut Live {
        // SAFETY: see `Send`.
        unsafe { self.state.as_mut() }
    }

    /// Moves the state out of the registers, so that memory alone counts.
    fn park(&self) {
        if self.is_resident() {
            assert!(
                cpu::this().id() == self.home,
                "a vCPU is handled on its home CPU"
            );
            self.evict_owner();
        }
    }

    /// One of the live MSRs; `None` for the others.
    pub(crate) fn msr(&self, index: GuestMsr) -> Option<u64> {
        let slot = slot_of(index)?;
        let live = self.live();
        Some(if self.is_resident() && live.has_msr(slot) {
            read_msr(LIVE_MSRS[slot])
        } else {
            live.msrs[slot]
        })
    }

    /// Replaces one of the live MSRs; false for the others.
    pub(crate) fn set_msr(&mut self, index: GuestMsr, value: u64) -> bool {
        let Some(slot) = slot_of(index) else {
            return false;
        };
        let is_resident = self.is_resident();
        let live = self.live_mut();
        live.msrs[slot] = value;
        if is_resident && live.has_msr(slot) {
            // SAFETY: the MSR exists, the hypervisor does not use it, the value was checked by the CPU model.
            unsafe { write_msr(LIVE_MSRS[slot], value) };
        }
        true
    }

    /// XCR0.
    pub(crate) fn xcr0(&self) -> u64 {
        self.live().xcr0
    }

    /// Replaces XCR0 by a legal value.
    pub(crate) fn set_xcr0(&mut self, value: u64) {
        let is_resident = self.is_resident();
        let live = self.live_mut();
        live.xcr0 = value;
        if is_resident && live.has_xsave {
            // SAFETY: the CPU has XSAVE, with OSXSAVE on in the host's CR4; the CPU model checked the value.
            unsafe { write_xcr0(value) };
        }
    }

    /// Replaces CR2.
    pub(crate) fn set_cr2(&mut self, value: u64) {
        let is_resident = self.is_resident();
        self.live_mut().cr2 = value;
        if is_resident {
            write_cr2(value);
        }
    }

    /// Puts what an intercepted #DB reports into DR6. (Intel SDM vol. 3C 28.2.1, table 28-1; vol. 3B 18.2.3)
    pub(crate) fn note_debug_conditions(&mut self, qualification: u64) {
        /// B0 to B3.
        const BREAKPOINTS: u64 = 0xf;
        /// BD and BS.
        const DETECT_AND_STEP: u64 = 0x6000;
        let is_resident = self.is_resident();
        let live = self.live_mut();
        if is_resident {
            (live.dr, live.dr6) = read_debug();
        }
        live.dr6 = live.dr6 & !BREAKPOINTS | qualification & (BREAKPOINTS | DETECT_AND_STEP);
        if is_resident {
            write_debug(live.dr, live.dr6);
        }
    }

    /// x87, SSE, AVX…, as [`VectorState::image`] gives them.
    pub(crate) fn vector_image(&self) -> Vec<u8> {
        self.park();
        self.live().vector.image()
    }

    /// Replaces x87, SSE, AVX….
    pub(crate) fn set_vector_image(
        &mut self,
        image: &[u8],
        allowed: u64,
    ) -> Result<(), &'static str> {
        self.park();
        self.live_mut().vector.set_image(image, allowed)
    }

    /// Gives the vector registers their reset state, and XCR0 its 1.
    pub(crate) fn reset_vector_state(&mut self) {
        self.park();
        let live = self.live_mut();
        live.vector.reset();
        live.xcr0 = 1;
    }

    /// Writes the live part of `state`.
    pub(crate) fn save(&self, state: &mut ArchState) {
        self.park();
        let live = self.live();
        state.cr2 = live.cr2;
        state.dr = live.dr;
        state.dr6 = live.dr6;
        state.xcr0 = live.xcr0;
        [
            state.star,
            state.lstar,
            state.cstar,
            state.sfmask,
            state.kernel_gs_base,
            state.tsc_aux,
            state.xss,
        ] = live.msrs;
    }

    /// Takes the live part of `state`.
    pub(crate) fn load(&mut self, state: &ArchState) {
        self.park();
        let live = self.live_mut();
        live.cr2 = state.cr2;
        live.dr = state.dr;
        live.dr6 = state.dr6;
        live.xcr0 = state.xcr0;
        live.msrs = [
            state.star,
            state.lstar,
            state.cstar,
            state.sfmask,
            state.kernel_gs_base,
            state.tsc_aux,
            state.xss,
        ];
    }
}

impl Drop for LiveState {
    fn drop(&mut self) {
        self.park();
        // SAFETY: made by `Box::leak` in `new`; after `park` nobody else points to it.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}

impl Live {
    fn has_msr(&self, slot: usize) -> bool {
        match LIVE_MSRS[slot] {
            msr::IA32_TSC_AUX => self.has_rdtscp,
            msr::IA32_XSS => self.has_xsaves,
            _ => true,
        }
    }

    /// Registers to memory. Leaves XCR0 as the host has it: everything on.
    fn take(&mut self) {
        self.cr2 = read_cr2();
        (self.dr, self.dr6) = read_debug();
        for (slot, index) in LIVE_MSRS.into_iter().enumerate() {
            if self.has_msr(slot) {
                self.msrs[slot] = read_msr(index);
            }
        }
        if let Some(all) = host_xcr0() {
            // SAFETY: OSXSAVE is on in the host's CR4, and the value is what CPUID offers.
            unsafe { write_xcr0(all) };
        }
        // SAFETY: XCR0 has everything on.
        unsafe { self.vector.save() };
    }

    /// Memory to registers.
    fn put(&self) {
        write_cr2(self.cr2);
        write_debug(self.dr, self.dr6);
        for (slot, index) in LIVE_MSRS.into_iter().enumerate() {
            if self.has_msr(slot) {
                // SAFETY: the MSR exists, the hypervisor does not use it, the value is one the CPU held or the CPU model
                // checked.
                unsafe { write_msr(index, self.msrs[slot]) };
            }
        }
        // SAFETY: nobody's state is in the registers, so XCR0 is the host's: `take` and `enable_host_features` leave it so.
        unsafe { self.vector.restore() };
        if self.has_xsave {
            // SAFETY: OSXSAVE is on in the host's CR4; the CPU model checked the value.
            unsafe { write_xcr0(self.xcr0) };
        }
    }
}

fn write_cr2(value: u64) {
    // SAFETY: CR2 only reports; the hypervisor's own page faults end in a panic.
    unsafe { asm!("mov cr2, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
}

fn read_debug() -> ([u64; 4], u64) {
    let mut dr = [0u64; 4];
    let dr6: u64;
    // SAFETY: reads registers; DR7.GD is clear in VMX root operation after every exit.
    unsafe {
        asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3", "mov {}, dr6",
            out(reg) dr[0], out(reg) dr[1], out(reg) dr[2], out(reg) dr[3], out(reg) dr6,
            options(nomem, nostack, preserves_flags));
    }
    (dr, dr6)
}

fn write_debug(dr: [u64; 4], dr6: u64) {
    // SAFETY: no breakpoint fires in the hypervisor: a VM exit leaves DR7 with all disabled, and so did firmware. The upper
    // half of DR6 is zero.
    unsafe {
        asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", "mov dr6, {}",
            in(reg) dr[0], in(reg) dr[1], in(reg) dr[2], in(reg) dr[3], in(reg) dr6 & 0xffff_ffff,
            options(nomem, nostack, preserves_flags));
    }
}
