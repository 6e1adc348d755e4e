//! The registers of a vCPU that stay in the physical CPU while the hypervisor runs: those that both
//! vendors leave there, and CR2, DR6 and the MSRs of system calls, for which the VMCS has no
//! fields. (Intel SDM vol. 3C 25.4.1)

extern crate alloc;

use alloc::sync::Arc;
use core::arch::asm;

use ::cpu::{LiveRegisters, VendorRegisters, read_cr2, read_msr, write_cr2, write_msr};
use ::vcpu::{ArchState, GuestMsr};
use x86::msr;

/// The MSRs among them. Guests write them without an exit.
const MSRS: [u32; 5] = [
    msr::IA32_STAR,
    msr::IA32_LSTAR,
    msr::IA32_CSTAR,
    msr::IA32_FMASK,
    msr::IA32_KERNEL_GS_BASE,
];

/// Returns the place of an MSR in [`MSRS`].
const fn slot_of(msr: GuestMsr) -> Option<usize> {
    Some(match msr {
        GuestMsr::Star => 0,
        GuestMsr::Lstar => 1,
        GuestMsr::Cstar => 2,
        GuestMsr::Sfmask => 3,
        GuestMsr::KernelGsBase => 4,
        _ => return None,
    })
}

/// The registers that VMX leaves in the CPU beyond the common ones.
#[derive(Clone, Copy)]
pub(crate) struct VmxRegisters {
    cr2: u64,
    dr6: u64,
    msrs: [u64; MSRS.len()],
}

impl VendorRegisters for VmxRegisters {
    fn read_registers(&mut self) {
        *self = Self {
            cr2: read_cr2(),
            dr6: read_dr6(),
            msrs: MSRS.map(read_msr),
        };
    }

    fn write_registers(&self) {
        write_cr2(self.cr2);
        write_dr6(self.dr6);
        for (index, value) in MSRS.into_iter().zip(self.msrs) {
            write_live_msr(index, value);
        }
    }
}

/// A vCPU's live registers, wherever they are at the moment.
pub(crate) struct Live(pub(crate) Arc<LiveRegisters<VmxRegisters>>);

impl Live {
    /// Makes the registers of a new vCPU: the state after reset.
    pub(crate) fn new() -> Self {
        Self(LiveRegisters::new(VmxRegisters {
            cr2: 0,
            dr6: 0xffff_0ff0,
            msrs: [0; MSRS.len()],
        }))
    }

    /// Returns one of the live MSRs; `None` for the others.
    pub(crate) fn msr(&self, index: GuestMsr) -> Option<u64> {
        match index {
            GuestMsr::TscAux => Some(self.0.tsc_aux()),
            GuestMsr::Xss => Some(self.0.xss()),
            _ => {
                let slot = slot_of(index)?;
                let value = self
                    .0
                    .vendor(|| read_msr(MSRS[slot]), |parked| parked.msrs[slot]);
                Some(value)
            }
        }
    }

    /// Replaces one of the live MSRs; returns false for the others.
    pub(crate) fn set_msr(&self, index: GuestMsr, value: u64) -> bool {
        match (index, slot_of(index)) {
            (GuestMsr::TscAux, _) => self.0.set_tsc_aux(value),
            (GuestMsr::Xss, _) => self.0.set_xss(value),
            (_, Some(slot)) => self.0.vendor(
                || write_live_msr(MSRS[slot], value),
                |parked| parked.msrs[slot] = value,
            ),
            (_, None) => return false,
        }
        true
    }

    /// Replaces CR2.
    pub(crate) fn set_cr2(&self, value: u64) {
        self.0
            .vendor(|| write_cr2(value), |parked| parked.cr2 = value);
    }

    /// Puts what an intercepted #DB reports into DR6. (Intel SDM vol. 3C 28.2.1, table 28-1; vol.
    /// 3B 18.2.3)
    pub(crate) fn note_debug_conditions(&self, qualification: u64) {
        self.0.vendor(
            || write_dr6(with_conditions(read_dr6(), qualification)),
            |parked| parked.dr6 = with_conditions(parked.dr6, qualification),
        );
    }

    /// Writes the live part of `state`.
    pub(crate) fn save(&self, state: &mut ArchState) {
        let VmxRegisters { cr2, dr6, msrs } = self.0.values();
        state.cr2 = cr2;
        state.dr = self.0.debug_addresses();
        state.dr6 = dr6;
        state.xcr0 = self.0.xcr0();
        state.tsc_aux = self.0.tsc_aux();
        state.xss = self.0.xss();
        [
            state.star,
            state.lstar,
            state.cstar,
            state.sfmask,
            state.kernel_gs_base,
        ] = msrs;
    }

    /// Takes the live part of `state`.
    pub(crate) fn load(&self, state: &ArchState) {
        let registers = VmxRegisters {
            cr2: state.cr2,
            dr6: state.dr6,
            msrs: [
                state.star,
                state.lstar,
                state.cstar,
                state.sfmask,
                state.kernel_gs_base,
            ],
        };
        self.0
            .vendor(|| registers.write_registers(), |parked| *parked = registers);
        self.0.set_debug_addresses(state.dr);
        self.0.set_tsc_aux(state.tsc_aux);
        self.0.set_xss(state.xss);
        self.0.set_xcr0(state.xcr0);
    }
}

/// DR6 after a #DB with this exit qualification: B0 to B3 are replaced, BD and BS are added.
const fn with_conditions(dr6: u64, qualification: u64) -> u64 {
    const BREAKPOINTS: u64 = 0xf;
    const DETECT_AND_STEP: u64 = 0x6000;
    dr6 & !BREAKPOINTS | qualification & (BREAKPOINTS | DETECT_AND_STEP)
}

/// Writes one of [`MSRS`].
fn write_live_msr(index: u32, value: u64) {
    // SAFETY: every CPU with VMX has these, the hypervisor uses none of them, and the value is one
    // the CPU held or the CPU model checked.
    unsafe { write_msr(index, value) };
}

fn read_dr6() -> u64 {
    let value;
    // SAFETY: reads a register; DR7.GD is clear in VMX root operation after every exit.
    unsafe { asm!("mov {}, dr6", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

fn write_dr6(value: u64) {
    // SAFETY: DR6 only reports; its upper half must be zero, and is.
    unsafe {
        asm!("mov dr6, {}", in(reg) value & 0xffff_ffff, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was() {
        let state = ArchState {
            cr2: 1,
            dr: [2, 3, 4, 5],
            dr6: 0xffff_0ff1,
            xcr0: 7,
            tsc_aux: 6,
            xss: 0x100,
            star: 8,
            lstar: 9,
            cstar: 10,
            sfmask: 11,
            kernel_gs_base: 12,
            ..ArchState::after_reset()
        };
        let live = Live::new();
        live.load(&state);
        let mut saved = ArchState::after_reset();
        live.save(&mut saved);
        assert_eq!(saved, state);
        assert_eq!(live.msr(GuestMsr::Cstar), Some(10));
        assert!(live.set_msr(GuestMsr::Cstar, 13) && live.set_msr(GuestMsr::Xss, 14));
        assert_eq!(live.msr(GuestMsr::Cstar), Some(13));
        assert_eq!(live.msr(GuestMsr::Xss), Some(14));
        assert!(!live.set_msr(GuestMsr::Pat, 0) && live.msr(GuestMsr::Pat).is_none());
    }

    #[test]
    fn a_debug_exception_replaces_breakpoints_and_adds_the_rest() {
        let live = Live::new();
        live.note_debug_conditions(0x4001);
        live.note_debug_conditions(0x0002);
        let mut state = ArchState::after_reset();
        live.save(&mut state);
        assert_eq!(state.dr6, 0xffff_4ff2);
    }
}
