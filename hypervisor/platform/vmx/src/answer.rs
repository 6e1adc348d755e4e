//! Control-register accesses, which the backend answers itself.
//!
//! Bits of CR0 and CR4 that the hypervisor keeps are compared with a shadow; an instruction that would change one exits. The
//! answer to a legal change is to change the shadow and to let the guest execute the instruction again: now nothing differs, and
//! the CPU itself does all that goes with it (long mode, page-directory pointers, TLB). (Intel SDM vol. 3C 25.6.6, 26.3)

use ::vcpu::Exit;
use x86::{Attributes, Cr0, Cr4, Efer, Fault, Gpr, SegmentRegister};

use crate::decode::{insn_len, raw};
use crate::fields::{self, ReadField};
use crate::qualification::CrAccess;
use crate::state;
use crate::vcpu::{NEEDS_REAL_MODE, VmxVcpu};
use crate::vmcs::Loaded;

impl VmxVcpu {
    /// Answers an access to a control register.
    pub(crate) fn answer_cr_access(&mut self, vmcs: Loaded) -> Option<Exit> {
        let access = CrAccess::from_qualification(vmcs.read(fields::EXIT_QUALIFICATION));
        match access {
            CrAccess::Write { register: 0, from } => {
                let value = self.read_operand(vmcs, from);
                self.write_cr0(vmcs, value)
            }
            CrAccess::Write { register: 4, from } => {
                let value = self.read_operand(vmcs, from);
                self.write_cr4(vmcs, value);
                None
            }
            CrAccess::Write { register: 8, from } => {
                let value = self.read_operand(vmcs, from);
                self.write_cr8(vmcs, value);
                None
            }
            CrAccess::Read { register: 8, to } => {
                let value = u64::from(self.task_priority.class());
                self.write_gpr(vmcs, to, value);
                self.retire_here(vmcs, insn_len(vmcs));
                None
            }
            // No control asks for these.
            CrAccess::Write { .. }
            | CrAccess::Read { .. }
            | CrAccess::ClearTaskSwitched
            | CrAccess::LoadMachineStatus(_) => Some(Exit::Unexpected(raw(
                vmcs,
                "control-register access that is not intercepted",
            ))),
        }
    }

    fn write_cr0(&mut self, vmcs: Loaded, value: u64) -> Option<Exit> {
        let before = Modes {
            cr0: state::cr0(vmcs, &self.masks),
            cr4: state::cr4(vmcs, &self.masks),
            efer: vmcs.read(fields::GUEST_EFER),
            cs: state::segment(vmcs, SegmentRegister::Cs).attributes,
        };
        if before.forbid_cr0(value) {
            self.queue_fault(vmcs, Fault::GENERAL_PROTECTION);
            return None;
        }
        let modes = Cr0::PROTECTED_MODE_ENABLE.bits() | Cr0::PAGING.bits();
        if !self.features.has_unrestricted_guest && value & modes != modes {
            return Some(Exit::Unexpected(raw(vmcs, NEEDS_REAL_MODE)));
        }
        vmcs.write(fields::CR0_SHADOW, value);
        None
    }

    fn write_cr4(&mut self, vmcs: Loaded, value: u64) {
        if value & !self.masks.cr4_allowed != 0 {
            self.queue_fault(vmcs, Fault::GENERAL_PROTECTION);
        } else {
            vmcs.write(fields::CR4_SHADOW, value);
        }
    }

    /// Only without a TPR shadow.
    fn write_cr8(&mut self, vmcs: Loaded, value: u64) {
        if value > 15 {
            self.queue_fault(vmcs, Fault::GENERAL_PROTECTION);
            return;
        }
        self.task_priority.set_class(value as u8);
        self.arm_window(vmcs);
        self.retire_here(vmcs, insn_len(vmcs));
    }

    /// The source of a MOV to a control register: outside 64-bit code its lower half.
    fn read_operand(&self, vmcs: Loaded, register: Gpr) -> u64 {
        let value = self.read_gpr(vmcs, register);
        if state::paging(vmcs, &self.masks).is_64_bit() {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    pub(crate) fn read_gpr(&self, vmcs: Loaded, register: Gpr) -> u64 {
        if register == Gpr::Rsp {
            vmcs.read(fields::GUEST_RSP)
        } else {
            self.registers.gpr[register.index()]
        }
    }

    pub(crate) fn write_gpr(&mut self, vmcs: Loaded, register: Gpr, value: u64) {
        if register == Gpr::Rsp {
            vmcs.write(fields::GUEST_RSP, value);
        } else {
            self.registers.gpr[register.index()] = value;
        }
    }
}

/// State that decides whether a value may go into CR0.
struct Modes {
    cr0: u64,
    cr4: u64,
    efer: u64,
    cs: Attributes,
}

impl Modes {
    /// Returns whether MOV to CR0 of this value raises #GP. (Intel SDM vol. 2B, MOV to control
    /// registers)
    fn forbid_cr0(&self, value: u64) -> bool {
        let has = |bit: Cr0| value & bit.bits() != 0;
        let had_paging = self.cr0 & Cr0::PAGING.bits() != 0;
        let is_long = self.efer & Efer::LONG_MODE_ENABLE.bits() != 0;
        let has_cr4 = |bit: Cr4| self.cr4 & bit.bits() != 0;
        let is_inconsistent = value >> 32 != 0
            || (has(Cr0::PAGING) && !has(Cr0::PROTECTED_MODE_ENABLE))
            || (has(Cr0::NOT_WRITE_THROUGH) && !has(Cr0::CACHE_DISABLE));
        let is_bad_start = has(Cr0::PAGING)
            && !had_paging
            && is_long
            && (!has_cr4(Cr4::PHYSICAL_ADDRESS_EXTENSION) || self.cs.is_long());
        let is_bad_end = !has(Cr0::PAGING)
            && had_paging
            && (has_cr4(Cr4::PCID) || (is_long && self.cs.is_long()));
        let is_unprotecting = !has(Cr0::WRITE_PROTECT) && has_cr4(Cr4::CONTROL_FLOW_ENFORCEMENT);
        is_inconsistent || is_bad_start || is_bad_end || is_unprotecting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PE: u64 = 1;
    const PG: u64 = 1 << 31;
    const NW: u64 = 1 << 29;
    const CD: u64 = 1 << 30;

    fn real_mode() -> Modes {
        Modes {
            cr0: 0x10,
            cr4: 0,
            efer: 0,
            cs: Attributes(0x9b),
        }
    }

    #[test]
    fn inconsistent_values_fault() {
        let modes = real_mode();
        assert!(modes.forbid_cr0(PG));
        assert!(modes.forbid_cr0(NW));
        assert!(modes.forbid_cr0(1 << 32));
        assert!(!modes.forbid_cr0(PE | PG | CD | NW));
    }

    #[test]
    fn long_mode_starts_only_with_pae() {
        let mut modes = real_mode();
        modes.efer = 0x100;
        assert!(modes.forbid_cr0(PE | PG));
        modes.cr4 = 0x20;
        assert!(!modes.forbid_cr0(PE | PG));
        modes.cs = Attributes(Attributes::LONG | 0x9b);
        assert!(modes.forbid_cr0(PE | PG));
    }

    #[test]
    fn paging_does_not_end_in_64_bit_code() {
        let mut modes = real_mode();
        modes.cr0 = PE | PG;
        modes.efer = 0x500;
        assert!(!modes.forbid_cr0(PE));
        modes.cs = Attributes(Attributes::LONG | 0x9b);
        assert!(modes.forbid_cr0(PE));
    }
}
