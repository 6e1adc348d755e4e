//! The guest's MSRs: some live in the CPU, the others in fields of the VMCS.

use ::vcpu::GuestMsr;

use crate::fields::{self, Field, ReadField};
use crate::state;
use crate::vcpu::VmxVcpu;

impl VmxVcpu {
    /// [`Vcpu::msr`](::vcpu::Vcpu::msr).
    pub(crate) fn read_guest_msr(&self, msr: GuestMsr) -> u64 {
        if let Some(value) = self.live.msr(msr) {
            return value;
        }
        let vmcs = self.vmcs.load();
        if msr == GuestMsr::SysenterCs {
            return u64::from(vmcs.read(fields::GUEST_SYSENTER_CS));
        }
        vmcs_field(msr).map_or(0, |field| vmcs.read(field))
    }

    /// [`Vcpu::set_msr`](::vcpu::Vcpu::set_msr).
    pub(crate) fn write_guest_msr(&mut self, msr: GuestMsr, value: u64) {
        if self.live.set_msr(msr, value) {
            return;
        }
        let vmcs = self.vmcs.load();
        match msr {
            GuestMsr::Efer => {
                state::set_efer(vmcs, value);
                // NXE changes what cached translations mean.
                self.forget_translations();
            }
            GuestMsr::SysenterCs => vmcs.write(fields::GUEST_SYSENTER_CS, value as u32),
            _ => {
                if let Some(field) = vmcs_field(msr) {
                    vmcs.write(field, value);
                }
            }
        }
    }
}

/// The field of an MSR that has one of 64 bits.
const fn vmcs_field(msr: GuestMsr) -> Option<Field<u64>> {
    Some(match msr {
        GuestMsr::Efer => fields::GUEST_EFER,
        GuestMsr::Pat => fields::GUEST_PAT,
        GuestMsr::FsBase => fields::GUEST_FS_BASE,
        GuestMsr::GsBase => fields::GUEST_GS_BASE,
        GuestMsr::SysenterEsp => fields::GUEST_SYSENTER_ESP,
        GuestMsr::SysenterEip => fields::GUEST_SYSENTER_EIP,
        GuestMsr::DebugCtl => fields::GUEST_DEBUGCTL,
        GuestMsr::SysenterCs
        | GuestMsr::KernelGsBase
        | GuestMsr::Star
        | GuestMsr::Lstar
        | GuestMsr::Cstar
        | GuestMsr::Sfmask
        | GuestMsr::TscAux
        | GuestMsr::Xss => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Live;

    #[test]
    fn every_passed_msr_is_switched_in_one_place() {
        let live = Live::new();
        for index in GuestMsr::PASSED {
            let msr = GuestMsr::from_index(index).expect("a backend holds it");
            let is_in_vmcs = msr == GuestMsr::SysenterCs || vmcs_field(msr).is_some();
            assert!(is_in_vmcs != live.msr(msr).is_some(), "{index:#x}");
        }
    }
}
