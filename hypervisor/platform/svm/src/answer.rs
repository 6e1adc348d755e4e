//! The rare exits. Most are mechanics of the vendor: answered here, never seen by the VMM.

use vcpu::{Exit, InsnLen, Vcpu, Xsetbv};
use x86::{Cr0, Cr4, Efer, Exception, Fault, Gpr};

use crate::SvmVcpu;
use crate::exit_code as code;
use crate::insn_len::{Opcode, mov_to_cr};
use crate::vmcb::clean;

/// EXITINFO1 of a MOV to a control register, with decode assists: the register number is valid.
const IS_MOV_CR: u64 = 1 << 63;

/// Bits of CR4 whose change makes the CPU drop translations. (AMD APM vol. 2 5.5.2)
const CR4_FLUSHES: u64 = Cr4::PAGE_SIZE_EXTENSION.bits()
    | Cr4::PHYSICAL_ADDRESS_EXTENSION.bits()
    | Cr4::PAGE_GLOBAL.bits()
    | Cr4::PCID.bits()
    | Cr4::L5_PAGING.bits()
    | Cr4::SUPERVISOR_MODE_EXECUTION_PROTECTION.bits()
    | Cr4::SUPERVISOR_MODE_ACCESS_PREVENTION.bits()
    | Cr4::PROTECTION_KEY_USER.bits();

impl SvmVcpu {
    /// Answers an exit; `Some` when the VMM is to hear of it.
    #[cold]
    pub(crate) fn answer(&mut self, exit_code: u32) -> Option<Exit> {
        match exit_code {
            // Taken by the hypervisor's handlers at STGI: the exit only made room for them. A physical INIT would stop this CPU
            // there; nobody sends one.
            code::NMI | code::SMI | code::INIT => {}
            // Unlike an NMI it is not pending any more.
            code::MACHINE_CHECK => cpu::machine_check_arrived(),
            code::XSETBV => return self.xsetbv(),
            code::DEBUG => return Some(self.debug_exception()),
            code::ALIGNMENT_CHECK => {
                let error_code = self.vmcb.control.exit_info1 as u32;
                return Some(self.pass_on(Exception::AlignmentCheck, Some(error_code)));
            }
            code::CR4_WRITE => self.write_cr4(),
            code::CR8_WRITE => self.write_cr8(),
            code::IRET => self.iret(),
            // No device of a guest looks past the caches, so there is nothing to write back; INVD would lose others' data.
            code::INVD | code::WBINVD => {
                let len = self.insn_len(Opcode::WBINVD);
                self.retire(len);
            }
            // There are no performance counters, so no counter number is a right one.
            code::RDPMC => self.queue_fault(Fault::GENERAL_PROTECTION),
            // Not offered in CPUID, so they do not exist; RSM outside SMM does not either.
            code::MONITOR
            | code::MWAIT
            | code::MWAIT_ARMED
            | code::RDPRU
            | code::RSM
            | code::VMRUN
            | code::VMLOAD
            | code::VMSAVE
            | code::STGI
            | code::CLGI
            | code::SKINIT
            | code::INVLPGA => self.queue_fault(Fault::INVALID_OPCODE),
            _ => return Some(Exit::Unexpected(self.raw_exit())),
        }
        None
    }

    fn xsetbv(&mut self) -> Option<Exit> {
        let paging = self.paging();
        if paging.cr4 & x86::Cr4::OSXSAVE.bits() == 0 {
            self.queue_fault(Fault::INVALID_OPCODE);
            return None;
        }
        if paging.cpl != 0 {
            self.queue_fault(Fault::GENERAL_PROTECTION);
            return None;
        }
        Some(Exit::Xsetbv(Xsetbv {
            index: self.gpr(Gpr::Rcx) as u32,
            value: self.edx_eax(),
            len: self.insn_len(Opcode::XSETBV),
        }))
    }

    fn write_cr4(&mut self) {
        let Some((value, len)) = self.mov_to_cr() else {
            self.queue_fault(Fault::INVALID_OPCODE);
            return;
        };
        let save = &mut self.vmcb.save;
        if !is_legal_cr4(
            save.cr0,
            save.cr3,
            save.cr4,
            save.efer,
            value,
            self.cr4_allowed,
        ) {
            self.queue_fault(Fault::GENERAL_PROTECTION);
            return;
        }
        let changed = save.cr4 ^ value;
        save.cr4 = value;
        self.vmcb.control.clean &= !clean::CONTROL_REGISTERS;
        if changed & CR4_FLUSHES != 0 {
            self.forget_translations();
        }
        self.retire(len);
    }

    fn write_cr8(&mut self) {
        match self.mov_to_cr() {
            Some((value @ 0..=15, len)) => {
                self.set_task_priority(value as u8);
                self.retire(len);
            }
            Some(_) => self.queue_fault(Fault::GENERAL_PROTECTION),
            None => self.queue_fault(Fault::INVALID_OPCODE),
        }
    }

    /// Value and length of the MOV to a control register that has just exited; `None` when it is not there any more.
    fn mov_to_cr(&mut self) -> Option<(u64, InsnLen)> {
        let info = self.vmcb.control.exit_info1;
        let (gpr, len) = match self.len_to_next_rip() {
            Some(len) if self.features.decode_assists && info & IS_MOV_CR != 0 => {
                (Gpr::from_encoding(info as u8 & 15), len)
            }
            _ => {
                let mut bytes = [0; 15];
                mov_to_cr(self.fetch(&mut bytes), self.is_64_bit())?
            }
        };
        let value = self.gpr(gpr);
        Some((
            if self.is_64_bit() {
                value
            } else {
                value & 0xffff_ffff
            },
            len,
        ))
    }
}

/// Returns whether CR4 may become `value`. (AMD APM vol. 2 3.1.3; Intel SDM vol. 3A 2.5)
fn is_legal_cr4(cr0: u64, cr3: u64, old: u64, efer: u64, value: u64, allowed: u64) -> bool {
    let is_long = efer & Efer::LONG_MODE_ACTIVE.bits() != 0;
    let sets = |flag: Cr4| value & !old & flag.bits() != 0;
    let changes = |flag: Cr4| (value ^ old) & flag.bits() != 0;
    let is_pcid_wrong = sets(Cr4::PCID) && (!is_long || cr3 & 0xfff != 0);
    let is_pae_wrong = is_long && value & Cr4::PHYSICAL_ADDRESS_EXTENSION.bits() == 0;
    let is_level_wrong = is_long && changes(Cr4::L5_PAGING);
    const CET: u64 = 1 << 23;
    let is_cet_wrong = value & CET != 0 && cr0 & Cr0::WRITE_PROTECT.bits() == 0;
    value & !allowed == 0 && !is_pcid_wrong && !is_pae_wrong && !is_level_wrong && !is_cet_wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAE: u64 = Cr4::PHYSICAL_ADDRESS_EXTENSION.bits();
    const PCID: u64 = Cr4::PCID.bits();
    const LONG: u64 = Efer::LONG_MODE_ACTIVE.bits();

    #[test]
    fn cr4_obeys_plan_and_architecture() {
        let check = |cr3, value, allowed| is_legal_cr4(0, cr3, PAE, LONG, value, allowed);
        assert!(check(0, PAE, PAE));
        assert!(!check(0, PAE | PCID, PAE));
        assert!(!check(0, 0, PAE));
        assert!(check(0x1000, PAE | PCID, PAE | PCID));
        assert!(!check(0x1001, PAE | PCID, PAE | PCID));
    }
}
