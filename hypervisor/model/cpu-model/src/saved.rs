//! Check that a saved state is one that a CPU of this model can be in.
//!
//! A wrong value would be #GP in the hypervisor or a refused VM entry. What a guest could have
//! brought about itself is right, however strange.

use crate::{CpuModel, MsrFile, msr};
use vcpu::{ArchState, BadState, GuestMsr};
use x86::{Cr0, Cr4, Efer, Rflags, SegmentRegister};

impl CpuModel {
    /// Checks what a saved state says of a vCPU's registers. (Intel SDM vol. 3A 2.5, 3.3, vol. 3C 27.3.1)
    ///
    /// # Errors
    /// [`BadState`] names the first thing that cannot be.
    pub fn check_state(&self, state: &ArchState) -> Result<(), BadState> {
        self.check_control_registers(state)?;
        let is_good = |guest, value| {
            if msr::takes(guest, value) {
                Ok(())
            } else {
                Err(BadState("an MSR holds what it does not take"))
            }
        };
        is_good(GuestMsr::Pat, state.pat)?;
        is_good(GuestMsr::Lstar, state.lstar)?;
        is_good(GuestMsr::Cstar, state.cstar)?;
        is_good(GuestMsr::Sfmask, state.sfmask)?;
        is_good(GuestMsr::KernelGsBase, state.kernel_gs_base)?;
        is_good(GuestMsr::SysenterCs, state.sysenter_cs)?;
        is_good(GuestMsr::SysenterEsp, state.sysenter_esp)?;
        is_good(GuestMsr::SysenterEip, state.sysenter_eip)?;
        is_good(GuestMsr::DebugCtl, state.debugctl)?;
        is_good(GuestMsr::TscAux, state.tsc_aux)?;
        is_good(GuestMsr::Xss, state.xss)?;
        let fs_and_gs = [SegmentRegister::Fs, SegmentRegister::Gs];
        let bases = fs_and_gs.map(|reg| reg.of(&state.segment).base);
        let system = [state.ldtr.base, state.tr.base];
        let tables = [state.gdtr.base, state.idtr.base];
        if ![bases, system, tables]
            .iter()
            .flatten()
            .all(|base| msr::is_canonical(*base))
        {
            return Err(BadState("a segment's or table's base is not canonical"));
        }
        if (state.dr6 | state.dr7) >> 32 != 0 {
            return Err(BadState("a debug register has reserved bits"));
        }
        if state.cr8 > 15 {
            return Err(BadState("CR8 has reserved bits"));
        }
        Ok(())
    }

    fn check_control_registers(&self, state: &ArchState) -> Result<(), BadState> {
        let (cr0, cr4) = (state.cr0, state.cr4);
        let has = |value: u64, bits: u64| value & bits == bits;
        let is_paging = has(cr0, Cr0::PAGING.bits());
        if cr0 & !Cr0::all().bits() != 0
            || is_paging && !has(cr0, Cr0::PROTECTED_MODE_ENABLE.bits())
            || has(cr0, Cr0::NOT_WRITE_THROUGH.bits()) && !has(cr0, Cr0::CACHE_DISABLE.bits())
        {
            return Err(BadState("CR0 has a value that it cannot take"));
        }
        if cr4 & !self.cr4_allowed() != 0 {
            return Err(BadState("CR4 has bits that this CPU does not have"));
        }
        if state.cr3 >> self.physical_bits() != 0 {
            return Err(BadState("CR3 is beyond the physical addresses"));
        }
        let efer = state.efer;
        let (enabled, active) = (
            has(efer, Efer::LONG_MODE_ENABLE.bits()),
            has(efer, Efer::LONG_MODE_ACTIVE.bits()),
        );
        let is_long = enabled && is_paging;
        if efer & !self.efer_allowed() != 0
            || active != is_long
            || is_long && !has(cr4, Cr4::PHYSICAL_ADDRESS_EXTENSION.bits())
        {
            return Err(BadState("EFER has a value that it cannot take"));
        }
        let code = SegmentRegister::Cs.of(&state.segment).attributes;
        let is_64_bit = is_long && code.is_long();
        let is_rip_good = if is_64_bit {
            msr::is_canonical(state.rip)
        } else {
            state.rip >> 32 == 0
        };
        if !is_rip_good {
            return Err(BadState("RIP is where no code can be"));
        }
        if is_long && state.rflags & Rflags::VIRTUAL_8086_MODE.bits() != 0 {
            return Err(BadState("there is no virtual-8086 mode in long mode"));
        }
        if self.xcr0_allowed() != 0 && self.check_xsetbv(0, state.xcr0).is_err() {
            return Err(BadState("XCR0 has a value that it cannot take"));
        }
        Ok(())
    }

    /// Returns whether `file` is of a CPU of this model.
    #[must_use]
    pub fn fits(&self, file: &MsrFile) -> bool {
        self.has_good_values(file)
    }
}
