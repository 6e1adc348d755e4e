//! An access that the SLAT tables do not allow: a device register, or nothing at all.

use crate::vcpu::local::Local;
use crate::vcpu::{Next, VirtualCpu};
use crate::vm::{Vm, guest_warn};
use addr::Gpa;
use board::MmioBus;
use board::StopReason;
use device::{Device, MmioDevice};
use emulate::{Bus, Outcome};
use host::Host;
use vcpu::{Access, SlatFault, Vcpu};
use x86::{Fault, Width};

/// Answers a SLAT fault.
pub(crate) fn touch<H: Host>(vcpu: &mut VirtualCpu<H>, fault: &SlatFault) -> Next {
    if fault.is_delivery {
        // Stack, IDT, GDT or TSS lie where there is no RAM: on a PC all ones come back and the CPU ends in a triple fault.
        return vcpu.stop(StopReason::UndeliverableEvent {
            gpa: fault.gpa.raw(),
        });
    }
    if fault.access == Access::Execute {
        guest_warn!(
            vcpu.vm,
            "vCPU {} executes at {}, where there is no memory",
            vcpu.id,
            fault.gpa
        );
        // All ones come back; they are no instruction.
        return raise(vcpu, Fault::INVALID_OPCODE);
    }
    if fault.is_table_walk {
        return walk(vcpu, fault);
    }
    let priority = vcpu.backend.task_priority();
    vcpu.local.apic.set_task_priority(priority);
    let mut view = View {
        vm: &vcpu.vm,
        bus: &vcpu.bus.mmio,
        local: &mut vcpu.local,
        has_touched_apic: false,
    };
    let outcome = emulate::execute(&mut vcpu.backend, view.vm.ram(), fault, &mut view);
    let has_touched_apic = view.has_touched_apic;
    vcpu.settle_bus();
    if has_touched_apic {
        let priority = vcpu.local.apic.task_priority();
        vcpu.backend.set_task_priority(priority);
        vcpu.after_apic();
    }
    match outcome {
        Outcome::Retired | Outcome::Faulted | Outcome::Again => Next::Resume,
        Outcome::Unsupported(insn) => vcpu.stop(StopReason::Unemulated {
            gpa: fault.gpa.raw(),
            insn,
        }),
    }
}

/// The guest's page tables lie where there is no RAM. Entries read as all ones there, and have their reserved bits set.
fn walk<H: Host>(vcpu: &mut VirtualCpu<H>, fault: &SlatFault) -> Next {
    /// P and RSVD of a page fault's error code. (Intel SDM vol. 3A 4.7)
    const PRESENT_RESERVED: u32 = 1 << 0 | 1 << 3;
    match fault.gva {
        Some(gva) => raise(vcpu, Fault::page_fault(gva, PRESENT_RESERVED)),
        // Without the address there is no exception to raise (SVM tells only the table's): the VM cannot go on.
        None => vcpu.stop(StopReason::UndeliverableEvent {
            gpa: fault.gpa.raw(),
        }),
    }
}

fn raise<H: Host>(vcpu: &mut VirtualCpu<H>, fault: Fault) -> Next {
    vcpu.backend.raise(fault);
    Next::Resume
}

/// Guest-physical address space beside RAM, as one vCPU sees it: its own local APIC, then the board.
struct View<'a, H: Host> {
    vm: &'a Vm<H>,
    bus: &'a MmioBus,
    local: &'a mut Local,
    has_touched_apic: bool,
}

impl<H: Host> Bus for View<'_, H> {
    fn read(&mut self, at: Gpa, width: Width) -> u64 {
        match self.local.apic_offset(at) {
            Some(offset) => {
                self.has_touched_apic = true;
                self.local.apic.advance(self.vm.now());
                self.local.apic.read(offset, width).unwrap_or(width.ones())
            }
            None => self.bus.read(at, width),
        }
    }

    fn write(&mut self, at: Gpa, width: Width, value: u64) {
        match self.local.apic_offset(at) {
            Some(offset) => {
                self.has_touched_apic = true;
                self.local.apic.advance(self.vm.now());
                // A refused write is lost, as on the chip.
                let _ = self.local.apic.write(offset, width, value);
            }
            None => self.bus.write(at, width, value),
        }
    }
}
