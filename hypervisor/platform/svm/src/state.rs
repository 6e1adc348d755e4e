//! Architectural state in and out of the VMCB.

use ::vcpu::{Activity, ArchState, GuestMsr, Shadow, Vcpu};
use x86::{Attributes, Cr0, DescriptorTable, Efer, Gpr, Rflags, Segment, SegmentRegister};

use crate::SvmVcpu;
use crate::event::Nmi;
use crate::vmcb::{VmcbSegment, clean};

const LMA: u64 = Efer::LONG_MODE_ACTIVE.bits();
const LME: u64 = Efer::LONG_MODE_ENABLE.bits();
/// VMRUN demands it; the guest never sees it.
const SVME: u64 = Efer::SECURE_VIRTUAL_MACHINE_ENABLE.bits();

impl From<VmcbSegment> for Segment {
    fn from(from: VmcbSegment) -> Self {
        Self {
            selector: from.selector,
            attributes: Attributes(from.attributes & 0xfff),
            limit: from.limit,
            base: from.base,
        }
    }
}

impl From<Segment> for VmcbSegment {
    fn from(from: Segment) -> Self {
        Self {
            selector: from.selector,
            attributes: from.attributes.0 & 0xfff,
            limit: from.limit,
            base: from.base,
        }
    }
}

impl From<VmcbSegment> for DescriptorTable {
    fn from(from: VmcbSegment) -> Self {
        Self {
            base: from.base,
            limit: from.limit as u16,
        }
    }
}

impl From<DescriptorTable> for VmcbSegment {
    fn from(from: DescriptorTable) -> Self {
        Self {
            base: from.base,
            limit: u32::from(from.limit),
            ..Self::default()
        }
    }
}

impl SvmVcpu {
    pub(crate) fn save_state(&self, state: &mut ArchState) {
        let save = &self.vmcb.save;
        *state = ArchState {
            gpr: Gpr::ALL.map(|reg| self.gpr(reg)),
            rip: save.rip,
            rflags: self.own_rflags(),
            segment: save.segment.map(Segment::from),
            ldtr: save.ldtr.into(),
            tr: save.tr.into(),
            gdtr: save.gdtr.into(),
            idtr: save.idtr.into(),
            cr0: save.cr0,
            cr2: save.cr2,
            cr3: save.cr3,
            cr4: save.cr4,
            cr8: self.task_priority(),
            efer: self.msr(GuestMsr::Efer),
            dr: self.live.debug_addresses(),
            dr6: save.dr6,
            dr7: save.dr7,
            xcr0: self.xcr0(),
            pat: save.pat,
            star: save.star,
            lstar: save.lstar,
            cstar: save.cstar,
            sfmask: save.sfmask,
            kernel_gs_base: save.kernel_gs_base,
            sysenter_cs: save.sysenter_cs,
            sysenter_esp: save.sysenter_esp,
            sysenter_eip: save.sysenter_eip,
            debugctl: self.debugctl,
            tsc_aux: self.live.tsc_aux(),
            xss: self.live.xss(),
            // Whether it sleeps is known to the VMM alone.
            activity: Activity::Running,
            // SVM does not tell STI's shadow from MOV SS's.
            shadow: if self.vmcb.control.interrupt_shadow & 1 != 0 {
                Shadow::Sti
            } else {
                Shadow::None
            },
        };
    }

    pub(crate) fn load_state(&mut self, state: &ArchState) {
        let ArchState {
            gpr,
            rip,
            rflags,
            segment,
            ldtr,
            tr,
            gdtr,
            idtr,
            cr0,
            cr2,
            cr3,
            cr4,
            cr8,
            efer,
            dr,
            dr6,
            dr7,
            xcr0,
            pat,
            star,
            lstar,
            cstar,
            sfmask,
            kernel_gs_base,
            sysenter_cs,
            sysenter_esp,
            sysenter_eip,
            debugctl,
            tsc_aux,
            xss,
            activity: _,
            shadow,
        } = state;
        let save = &mut self.vmcb.save;
        save.rip = *rip;
        save.rflags = *rflags | 2;
        save.segment = segment.map(VmcbSegment::from);
        save.ldtr = (*ldtr).into();
        save.tr = (*tr).into();
        save.gdtr = (*gdtr).into();
        save.idtr = (*idtr).into();
        save.cpl = privilege_level(*cr0, *rflags, segment[SegmentRegister::Ss as usize]);
        save.cr0 = *cr0;
        save.cr2 = *cr2;
        save.cr3 = *cr3;
        save.cr4 = *cr4;
        save.efer = effective_efer(*efer, *cr0);
        save.dr6 = *dr6 & 0xffff_ffff;
        save.dr7 = *dr7 & 0xffff_ffff;
        save.pat = *pat;
        save.star = *star;
        save.lstar = *lstar;
        save.cstar = *cstar;
        save.sfmask = *sfmask;
        save.kernel_gs_base = *kernel_gs_base;
        save.sysenter_cs = *sysenter_cs;
        save.sysenter_esp = *sysenter_esp;
        save.sysenter_eip = *sysenter_eip;
        for (reg, value) in Gpr::ALL.into_iter().zip(gpr) {
            self.set_gpr(reg, *value);
        }
        self.debugctl = *debugctl;
        self.live.set_debug_addresses(*dr);
        self.live.set_tsc_aux(*tsc_aux);
        self.live.set_xss(*xss);
        self.live.set_xcr0(*xcr0);
        self.drop_window();
        self.set_task_priority(*cr8);
        self.nmi = Nmi::Open;
        self.nmi_window = false;
        self.step = None;
        let control = &mut self.vmcb.control;
        control.instructions1 &= !crate::vmcb::intercept::IRET;
        control.event = 0;
        control.interrupt_shadow = u64::from(*shadow != Shadow::None);
        self.start_anew();
    }

    pub(crate) fn read_guest_msr(&self, msr: GuestMsr) -> u64 {
        let save = &self.vmcb.save;
        match msr {
            GuestMsr::Efer => save.efer & !SVME,
            GuestMsr::Pat => save.pat,
            GuestMsr::FsBase => save.segment[SegmentRegister::Fs as usize].base,
            GuestMsr::GsBase => save.segment[SegmentRegister::Gs as usize].base,
            GuestMsr::KernelGsBase => save.kernel_gs_base,
            GuestMsr::Star => save.star,
            GuestMsr::Lstar => save.lstar,
            GuestMsr::Cstar => save.cstar,
            GuestMsr::Sfmask => save.sfmask,
            GuestMsr::SysenterCs => save.sysenter_cs,
            GuestMsr::SysenterEsp => save.sysenter_esp,
            GuestMsr::SysenterEip => save.sysenter_eip,
            GuestMsr::DebugCtl => self.debugctl,
            GuestMsr::TscAux => self.live.tsc_aux(),
            GuestMsr::Xss => self.live.xss(),
        }
    }

    pub(crate) fn write_guest_msr(&mut self, msr: GuestMsr, value: u64) {
        let Self { vmcb, live, .. } = self;
        let save = &mut vmcb.save;
        match msr {
            GuestMsr::Efer => {
                let changed = (save.efer ^ value) & Efer::NO_EXECUTE_ENABLE.bits();
                save.efer = effective_efer(value, save.cr0);
                vmcb.control.clean &= !clean::CONTROL_REGISTERS;
                if changed != 0 {
                    self.forget_translations();
                }
            }
            GuestMsr::Pat => {
                save.pat = value;
                vmcb.control.clean &= !clean::NESTED;
            }
            GuestMsr::FsBase => save.segment[SegmentRegister::Fs as usize].base = value,
            GuestMsr::GsBase => save.segment[SegmentRegister::Gs as usize].base = value,
            GuestMsr::KernelGsBase => save.kernel_gs_base = value,
            GuestMsr::Star => save.star = value,
            GuestMsr::Lstar => save.lstar = value,
            GuestMsr::Cstar => save.cstar = value,
            GuestMsr::Sfmask => save.sfmask = value,
            GuestMsr::SysenterCs => save.sysenter_cs = value,
            GuestMsr::SysenterEsp => save.sysenter_esp = value,
            GuestMsr::SysenterEip => save.sysenter_eip = value,
            GuestMsr::DebugCtl => self.debugctl = value,
            GuestMsr::TscAux => live.set_tsc_aux(value),
            GuestMsr::Xss => live.set_xss(value),
        }
    }
}

/// EFER as VMRUN wants it: long mode is active when it is enabled and paging is on. (AMD APM vol. 2 14.6.1)
fn effective_efer(efer: u64, cr0: u64) -> u64 {
    let is_active = efer & LME != 0 && cr0 & Cr0::PAGING.bits() != 0;
    (efer & !LMA) | SVME | if is_active { LMA } else { 0 }
}

/// CPL: 0 in real mode, 3 in virtual-8086 mode, else what SS says.
fn privilege_level(cr0: u64, rflags: u64, ss: Segment) -> u8 {
    if cr0 & Cr0::PROTECTED_MODE_ENABLE.bits() == 0 {
        0
    } else if rflags & Rflags::VIRTUAL_8086_MODE.bits() != 0 {
        3
    } else {
        ss.attributes.dpl()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_mode_is_active_with_paging_only() {
        let pg = Cr0::PAGING.bits();
        assert_eq!(effective_efer(LME, 0), LME | SVME);
        assert_eq!(effective_efer(LME, pg), LME | LMA | SVME);
        assert_eq!(effective_efer(LMA, pg), SVME);
    }

    #[test]
    fn segments_survive_both_ways() {
        let code = Segment {
            selector: 8,
            attributes: Attributes(0xa9b),
            limit: u32::MAX,
            base: 0x1234,
        };
        assert_eq!(Segment::from(VmcbSegment::from(code)), code);
    }

    #[test]
    fn privilege_follows_mode() {
        let ss = Segment {
            attributes: Attributes(0xf3),
            ..Segment::default()
        };
        assert_eq!(privilege_level(0, 2, ss), 0);
        assert_eq!(privilege_level(1, 2, ss), 3);
        assert_eq!(privilege_level(1, 1 << 17 | 2, Segment::default()), 3);
    }
}
