//! Bringing a vCPU onto its CPU: registers that stay across exits, ASID, and the entry itself.

use ::cpu::write_cr2;

use crate::asid::Asid;
use crate::code::CodePages;
use crate::consistency;
use crate::cpu::SvmCpu;
use crate::enter::enter;
use crate::vcpu::SvmVcpu;
use crate::vmcb::{clean, tlb};

impl SvmVcpu {
    /// Makes the CPU forget what it knows of this vCPU's page tables, the guest's and the nested ones.
    pub fn forget_translations(&mut self) {
        self.code_pages = CodePages::NONE;
        if self.features.flush_by_asid {
            self.vmcb.control.tlb_control = tlb::FLUSH_GUEST;
        } else {
            self.asid = Asid::default();
        }
    }

    #[cold]
    pub(crate) fn switch_in(&mut self, cpu: &mut SvmCpu) {
        cpu.live.bring_in(&self.live);
        if self.home != Some(cpu.id()) {
            self.home = Some(cpu.id());
            self.asid = Asid::default();
        }
        self.vmcb.control.clean = 0;
        // VMRUN loads the VMCB's (AMD APM vol. 2 15.5.1), but in Bochs it leaves the CPU's in
        // place.
        write_cr2(self.vmcb.save.cr2);
    }

    /// Enters the guest and comes back with its next exit.
    #[inline]
    pub(crate) fn enter_guest(&mut self, cpu: &mut SvmCpu) {
        // Generation 0, of a vCPU that wants a flush, is never current.
        if self.asid.generation != cpu.asids.generation() {
            self.take_asid(cpu);
        }
        let host = cpu.host_block();
        let vmcb = self.vmcb.hpa().raw();
        let shadow = self.vmcb.control.interrupt_shadow;
        // SAFETY:
        // 1. A `SvmCpu` exists only with SVM on and VM_HSAVE_PA set; the hypervisor runs with interrupts off and GIF set.
        // 2. The registers are ours.
        // 3. `new` made the block; its tables are the VM's by the promise made there, and nothing takes the intercepts of
        //    `set_controls` away.
        // 4. `SvmCpu::enable` stored the state there, on this CPU: `SvmCpu` does not leave it.
        unsafe { enter(&raw mut self.registers, vmcb, host, shadow) };
    }

    #[cold]
    fn take_asid(&mut self, cpu: &mut SvmCpu) {
        let (asid, flush) = cpu.asids.take();
        self.asid = asid;
        let control = &mut self.vmcb.control;
        control.asid = asid.number;
        if flush {
            control.tlb_control = tlb::FLUSH_ALL;
        }
        control.clean &= !clean::ASID;
        self.predicted_refusal = consistency::fault(&self.vmcb);
    }

    /// Makes the next entry start as the first one: with a new ASID, everything loaded, and the state looked at.
    pub(crate) fn start_anew(&mut self) {
        self.asid = Asid::default();
        self.code_pages = CodePages::NONE;
        self.vmcb.control.clean = 0;
    }
}
