//! From exit reason to [`Exit`]. Each arm reads the fields its exit needs, and no others.

use core::arch::asm;

use ::vcpu::{
    Cpuid, EntryRefused, Exit, Halt, Hypercall, InsnBytes, InsnLen, Pause, PioDirection, PioIn,
    PioOut, PioString, RawExit, ReadMsr, SlatFault, WriteMsr, Xsetbv,
};
use addr::{Gpa, Gva};
use x86::{Exception, Fault, Gpr, SegmentRegister, Width};

use crate::check;
use crate::controls::primary;
use crate::enter::enter;
use crate::fields::{self, ReadField};
use crate::qualification::{
    EptQualification, Interruption, InterruptionKind, IoQualification, StringIoInfo,
};
use crate::reason;
use crate::state;
use crate::vcpu::VmxVcpu;
use crate::vmcs::Loaded;

/// Number of PAUSEs that make a spin, where the CPU exits at each of them: a few microseconds.
const PAUSES_OF_A_SPIN: u32 = 64;

impl VmxVcpu {
    /// Runs the guest until there is something to tell the VMM; what it need not know is answered
    /// on the way.
    ///
    /// One function, returning from within the match: so each exit is written once, into the
    /// caller's place for it.
    #[inline]
    pub(crate) fn next_exit(&mut self, vmcs: Loaded) -> Exit {
        loop {
            let exit_reason = match self.enter_guest(vmcs) {
                Ok(exit_reason) => exit_reason,
                Err(failure) => return self.refused(vmcs, failure),
            };
            match exit_reason {
                reason::EXTERNAL_INTERRUPT => return external_interrupt(vmcs),
                reason::IO_INSTRUCTION => return self.io_instruction(vmcs),
                reason::CPUID => {
                    return Exit::Cpuid(Cpuid {
                        leaf: self.low(Gpr::Rax),
                        subleaf: self.low(Gpr::Rcx),
                        len: insn_len(vmcs),
                    });
                }
                reason::RDMSR => {
                    return Exit::ReadMsr(ReadMsr {
                        index: self.low(Gpr::Rcx),
                        len: insn_len(vmcs),
                    });
                }
                reason::WRMSR => {
                    return Exit::WriteMsr(WriteMsr {
                        index: self.low(Gpr::Rcx),
                        value: self.edx_eax(),
                        len: insn_len(vmcs),
                    });
                }
                reason::HLT => {
                    return Exit::Halt(Halt {
                        len: insn_len(vmcs),
                    });
                }
                reason::EPT_VIOLATION => return self.ept_violation(vmcs),
                reason::INTERRUPT_WINDOW => {
                    self.window = None;
                    self.set_primary(vmcs, primary::INTERRUPT_WINDOW_EXITING, false);
                    return Exit::InterruptWindow;
                }
                reason::TPR_BELOW_THRESHOLD => self.arm_window(vmcs),
                reason::VMCALL => {
                    return Exit::Hypercall(Hypercall {
                        len: insn_len(vmcs),
                    });
                }
                other => {
                    if let Some(exit) = self.answer(vmcs, other) {
                        return exit;
                    }
                }
            }
        }
    }

    /// Enters the guest; returns the reason of the next exit.
    ///
    /// # Errors
    /// The entry failed: what VMLAUNCH or VMRESUME said, or 0 for an exit that only says so.
    #[inline]
    fn enter_guest(&mut self, vmcs: Loaded) -> Result<u16, u64> {
        self.forget_cached();
        // SAFETY:
        // 1. `vmcs` is this vCPU's; `fill` wrote the host state on this CPU, where nothing of it
        //    changes.
        // 2. The hypervisor runs with interrupts off, and the live registers are ours.
        let failure = unsafe { enter(&mut self.registers) };
        if failure != 0 {
            return Err(failure);
        }
        let exit_reason = vmcs.read(fields::EXIT_REASON);
        // Qualification and RIP stay unread here: most exits do not need them, and an epitaph can
        // do without.
        ::cpu::epitaph::note_exit(exit_reason.into(), 0, 0);
        if exit_reason & reason::ENTRY_FAILURE != 0 {
            return Err(0);
        }
        self.registers.is_launched = true;
        self.is_queued = false;
        Ok(exit_reason as u16)
    }

    /// Returns why the entry failed, before or while guest state was loaded.
    #[cold]
    fn refused(&self, vmcs: Loaded, failure: u64) -> Exit {
        let reason = match failure {
            0 => match vmcs.read(fields::EXIT_REASON) as u16 {
                reason::MACHINE_CHECK => {
                    ::cpu::machine_check_arrived();
                    reason::name(reason::MACHINE_CHECK)
                }
                reason::INVALID_GUEST_STATE => {
                    check::first_violation(&vmcs).unwrap_or("invalid guest state")
                }
                other => reason::name(other),
            },
            1 => "no current VMCS",
            _ => reason::instruction_error(vmcs.read(fields::INSTRUCTION_ERROR)),
        };
        Exit::EntryRefused(EntryRefused { reason })
    }

    /// Answers what no guest does often, and refuses what is not in its CPU model; `Some` when the
    /// VMM is to hear of it.
    #[cold]
    fn answer(&mut self, vmcs: Loaded, exit_reason: u16) -> Option<Exit> {
        match exit_reason {
            reason::NMI_WINDOW => {
                self.set_primary(vmcs, primary::NMI_WINDOW_EXITING, false);
                return Some(Exit::InterruptWindow);
            }
            reason::EXCEPTION_OR_NMI => return self.exception(vmcs),
            reason::CR_ACCESS => return self.answer_cr_access(vmcs),
            reason::XSETBV => {
                return Some(Exit::Xsetbv(Xsetbv {
                    index: self.low(Gpr::Rcx),
                    value: self.edx_eax(),
                    len: insn_len(vmcs),
                }));
            }
            reason::PAUSE => return self.pause(vmcs),
            reason::TRIPLE_FAULT => return Some(Exit::Shutdown),
            // Caches stay as they are: guest memory is write-back and coherent, and others share them.
            reason::INVD | reason::WBINVD => {
                self.retire_here(vmcs, insn_len(vmcs));
            }
            // No performance counters in the CPU model: every counter number is wrong.
            reason::RDPMC => {
                self.queue_fault(vmcs, Fault::GENERAL_PROTECTION);
            }
            // Not in the CPU model.
            reason::GETSEC
            | reason::MONITOR
            | reason::MWAIT
            | reason::VMCLEAR
            | reason::VMLAUNCH
            | reason::VMPTRLD
            | reason::VMPTRST
            | reason::VMREAD
            | reason::VMRESUME
            | reason::VMWRITE
            | reason::VMXOFF
            | reason::VMXON
            | reason::INVEPT
            | reason::INVVPID
            | reason::VMFUNC
            | reason::ENCLS
            | reason::ENCLV
            | reason::PCONFIG
            | reason::LOADIWKEY
            | reason::UMWAIT
            | reason::TPAUSE => {
                self.queue_fault(vmcs, Fault::INVALID_OPCODE);
            }
            _ => {
                self.requeue(vmcs);
                return Some(Exit::Unexpected(raw(vmcs, reason::name(exit_reason))));
            }
        }
        None
    }

    /// A guest that spins, or may do so.
    fn pause(&mut self, vmcs: Loaded) -> Option<Exit> {
        let len = insn_len(vmcs);
        if !self.features.has_pause_loop_exiting {
            self.pauses = self.pauses.wrapping_add(1);
            if !self.pauses.is_multiple_of(PAUSES_OF_A_SPIN) {
                self.retire_here(vmcs, len);
                return None;
            }
        }
        Some(Exit::Pause(Pause { len }))
    }

    #[inline]
    fn low(&self, register: Gpr) -> u32 {
        self.registers.gpr[register.index()] as u32
    }

    #[inline]
    fn edx_eax(&self) -> u64 {
        u64::from(self.low(Gpr::Rdx)) << 32 | u64::from(self.low(Gpr::Rax))
    }

    #[inline]
    fn io_instruction(&self, vmcs: Loaded) -> Exit {
        let io = IoQualification(vmcs.read(fields::EXIT_QUALIFICATION));
        let (port, width, len) = (io.port(), io.width(), insn_len(vmcs));
        if io.is_string() {
            self.string_io(vmcs, io, len)
        } else if io.is_in() {
            Exit::PioIn(PioIn { port, width, len })
        } else {
            Exit::PioOut(PioOut {
                port,
                width,
                value: width.truncate(self.registers.gpr[Gpr::Rax.index()]) as u32,
                len,
            })
        }
    }

    fn string_io(&self, vmcs: Loaded, io: IoQualification, len: InsnLen) -> Exit {
        let info = StringIoInfo(vmcs.read(fields::EXIT_INSTRUCTION_INFO));
        let (address_width, segment) = if self.features.has_string_io_info {
            (info.address_width(), info.segment())
        } else {
            // The first CPUs with VMX leave no word about prefixes: take the mode's own size and segment.
            let width = match state::paging(vmcs, &self.masks).code_bits() {
                64 => Width::Qword,
                32 => Width::Dword,
                _ => Width::Word,
            };
            (width, SegmentRegister::Ds)
        };
        let (direction, segment) = if io.is_in() {
            (PioDirection::In, SegmentRegister::Es)
        } else {
            (PioDirection::Out, segment)
        };
        Exit::PioString(PioString {
            port: io.port(),
            width: io.width(),
            direction,
            is_repeated: io.is_repeated(),
            address_width,
            segment,
            len,
        })
    }

    #[inline]
    fn ept_violation(&mut self, vmcs: Loaded) -> Exit {
        let fault = EptQualification(vmcs.read(fields::EXIT_QUALIFICATION));
        let is_delivery = self.requeue(vmcs);
        if fault.is_nmi_unblocked_by_iret() && !is_delivery {
            self.block_nmis_again(vmcs);
        }
        Exit::SlatFault(SlatFault {
            gpa: Gpa::new(vmcs.read(fields::GUEST_PHYSICAL_ADDRESS)),
            access: fault.access(),
            gva: fault
                .has_linear_address()
                .then(|| Gva::new(vmcs.read(fields::GUEST_LINEAR_ADDRESS))),
            is_table_walk: fault.is_table_walk(),
            is_delivery,
            insn: InsnBytes::default(),
        })
    }

    /// NMIs and machine checks are the host's. #DB and #AC are intercepted because their delivery can raise them again without
    /// end, and without an instruction boundary at which an interrupt could get in (26.2, note on "exceptions"; a trap goes
    /// before an interrupt). So both return to the CPU loop, which takes what is pending: another entry would end the same way.
    fn exception(&mut self, vmcs: Loaded) -> Option<Exit> {
        const DEBUG: u8 = Exception::Debug as u8;
        const ALIGNMENT_CHECK: u8 = Exception::AlignmentCheck as u8;
        const MACHINE_CHECK: u8 = Exception::MachineCheck as u8;
        let event = Interruption(vmcs.read(fields::EXIT_INTERRUPTION_INFO));
        if event.kind() == InterruptionKind::Nmi {
            host_nmi();
            return None;
        }
        let is_delivery = self.requeue(vmcs);
        if event.is_nmi_unblocked_by_iret() && !is_delivery {
            self.block_nmis_again(vmcs);
        }
        match event.vector() {
            MACHINE_CHECK => ::cpu::machine_check_arrived(),
            // A breakpoint on what a delivery touches: the delivery is tried again.
            DEBUG if is_delivery => return Some(Exit::HostInterrupt),
            DEBUG => {
                self.note_debug_exception(vmcs, event);
                self.reflect(vmcs, event);
                return Some(Exit::HostInterrupt);
            }
            // The fault goes before the event that met it.
            ALIGNMENT_CHECK => {
                self.reflect(vmcs, event);
                return Some(Exit::HostInterrupt);
            }
            _ => {
                return Some(Exit::Unexpected(raw(
                    vmcs,
                    "exception that is not intercepted",
                )));
            }
        }
        None
    }

    /// Does what the CPU does when it delivers #DB, and leaves to us when it exits instead. (28.1)
    fn note_debug_exception(&mut self, vmcs: Loaded, event: Interruption) {
        const GENERAL_DETECT: u64 = 1 << 13;
        const LAST_BRANCH_RECORD: u64 = 1 << 0;
        // INT1 leaves no trace in DR6.
        if event.kind() == InterruptionKind::HardwareException {
            self.live
                .note_debug_conditions(vmcs.read(fields::EXIT_QUALIFICATION));
        }
        let dr7 = vmcs.read(fields::GUEST_DR7);
        vmcs.write(fields::GUEST_DR7, dr7 & !GENERAL_DETECT);
        let debugctl = vmcs.read(fields::GUEST_DEBUGCTL);
        vmcs.write(fields::GUEST_DEBUGCTL, debugctl & !LAST_BRANCH_RECORD);
    }
}

/// Where acknowledging is on, the vector is noted for the CPU loop; else the interrupt is still pending in the local APIC.
#[inline]
fn external_interrupt(vmcs: Loaded) -> Exit {
    let event = Interruption(vmcs.read(fields::EXIT_INTERRUPTION_INFO));
    if event.is_valid() {
        ::cpu::this().note_interrupt(event.vector());
    }
    Exit::HostInterrupt
}

/// Length of the exiting instruction. Every exit that calls this is caused by one. (28.2.5)
#[inline]
pub(crate) fn insn_len(vmcs: Loaded) -> InsnLen {
    InsnLen::new(vmcs.read(fields::EXIT_INSTRUCTION_LEN) as u8)
        .expect("the CPU tells the length of an exiting instruction")
}

/// The last exit as numbers, under this name.
pub(crate) fn raw(vmcs: Loaded, name: &'static str) -> RawExit {
    RawExit {
        code: u64::from(vmcs.read(fields::EXIT_REASON)),
        info1: vmcs.read(fields::EXIT_QUALIFICATION),
        info2: vmcs.read(fields::GUEST_PHYSICAL_ADDRESS),
        name,
    }
}

/// Runs the host's NMI handler. After an exit by NMI, NMIs are blocked until an IRET: the handler's own ends that.
fn host_nmi() {
    // SAFETY: the IDT has a handler for vector 2 that keeps all registers and returns.
    unsafe { asm!("int 2") };
}
