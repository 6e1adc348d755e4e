//! From the exit code to an [`Exit`], or to an answer of our own. (AMD APM vol. 2 15.8 to 15.14, appendix C)

use addr::Gpa;
use vcpu::{
    Access, Cpuid, EntryRefused, Exit, Halt, Hypercall, InsnBytes, InsnLen, Pause, PioDirection,
    PioIn, PioOut, PioString, ReadMsr, SlatFault, Vcpu, WriteMsr,
};
use x86::{Gpr, SegmentRegister, Width};

use crate::event::VALID;
use crate::exit_code as code;
use crate::insn_len::{Opcode, string_operand};
use crate::vmcb::tlb;
use crate::{SvmCpu, SvmVcpu, consistency};

/// EXITINFO1 of an I/O instruction. (AMD APM vol. 2 15.10.2)
mod io {
    pub(super) const IS_IN: u64 = 1 << 0;
    pub(super) const IS_STRING: u64 = 1 << 2;
    pub(super) const IS_REPEATED: u64 = 1 << 3;
    pub(super) const WIDTH_SHIFT: u32 = 4;
    pub(super) const ADDRESS_SHIFT: u32 = 7;
    pub(super) const SEGMENT_SHIFT: u32 = 10;
    pub(super) const PORT_SHIFT: u32 = 16;
}

/// EXITINFO1 of a nested page fault. (AMD APM vol. 2 15.25.6)
mod fault {
    pub(super) const IS_WRITE: u64 = 1 << 1;
    pub(super) const IS_FETCH: u64 = 1 << 4;
    pub(super) const IS_TABLE_WALK: u64 = 1 << 33;
}

/// Number of PAUSEs that make a spin, where the CPU exits at each of them: a few microseconds.
const PAUSES_OF_A_SPIN: u32 = 64;

impl SvmVcpu {
    /// Runs the guest until there is something to tell the VMM; what it need not know is answered on the way.
    ///
    /// One function, returning from within the match: so each exit is written once, into the caller's place for it.
    #[inline]
    pub(crate) fn next_exit(&mut self, cpu: &mut SvmCpu) -> Exit {
        loop {
            self.enter_guest(cpu);
            let control = &mut self.vmcb.control;
            let exit_code = control.exit_code as u32;
            ::cpu::epitaph::note_exit(exit_code.into(), control.exit_info1, self.vmcb.save.rip);
            let control = &mut self.vmcb.control;
            if matches!(exit_code, code::INVALID | code::BUSY) {
                return self.refused();
            }
            control.tlb_control = tlb::KEEP;
            control.clean = self.clean_after_exit;
            let cut_short = control.exit_interrupt;
            control.event = 0;
            if cut_short & VALID != 0 {
                self.requeue(cut_short);
            }
            match exit_code {
                code::CPUID => {
                    return Exit::Cpuid(Cpuid {
                        leaf: self.gpr(Gpr::Rax) as u32,
                        subleaf: self.gpr(Gpr::Rcx) as u32,
                        len: self.insn_len(Opcode::CPUID),
                    });
                }
                code::IOIO => return self.port_access(),
                code::MSR => return self.msr_access(),
                code::HLT => {
                    return Exit::Halt(Halt {
                        len: self.insn_len(Opcode::HLT),
                    });
                }
                code::NPF => return self.nested_fault(),
                code::INTR => return Exit::HostInterrupt,
                code::VINTR => {
                    self.drop_window();
                    return Exit::InterruptWindow;
                }
                code::PAUSE => {
                    let len = self.insn_len(Opcode::PAUSE);
                    if self.is_spinning() {
                        return Exit::Pause(Pause { len });
                    }
                    self.retire(len);
                }
                code::VMMCALL => {
                    return Exit::Hypercall(Hypercall {
                        len: self.insn_len(Opcode::VMMCALL),
                    });
                }
                code::SHUTDOWN => return Exit::Shutdown,
                other => {
                    if let Some(exit) = self.answer(other) {
                        return exit;
                    }
                }
            }
        }
    }

    /// VMRUN refused the block. The state that was loaded last was looked at before the entry: emulators overwrite it here.
    #[cold]
    fn refused(&mut self) -> Exit {
        let reason = self
            .predicted_refusal
            .or_else(|| consistency::fault(&self.vmcb))
            .unwrap_or(consistency::UNKNOWN);
        Exit::EntryRefused(EntryRefused { reason })
    }

    /// Returns whether a PAUSE exit is one too many: the CPU's filter says so, or without one a
    /// count.
    fn is_spinning(&mut self) -> bool {
        self.pauses = self.pauses.wrapping_add(1);
        self.features.pause_filter || self.pauses.is_multiple_of(PAUSES_OF_A_SPIN)
    }

    #[inline]
    fn port_access(&mut self) -> Exit {
        let info = self.vmcb.control.exit_info1;
        let len = self.len_to(self.vmcb.control.exit_info2);
        let port = (info >> io::PORT_SHIFT) as u16;
        let width = match info >> io::WIDTH_SHIFT & 7 {
            1 => Width::Byte,
            2 => Width::Word,
            _ => Width::Dword,
        };
        let is_in = info & io::IS_IN != 0;
        if info & io::IS_STRING != 0 {
            return self.port_string(info, port, width, len);
        }
        if is_in {
            Exit::PioIn(PioIn { port, width, len })
        } else {
            let value = width.truncate(self.gpr(Gpr::Rax)) as u32;
            Exit::PioOut(PioOut {
                port,
                width,
                value,
                len,
            })
        }
    }

    fn port_string(&mut self, info: u64, port: u16, width: Width, len: InsnLen) -> Exit {
        let is_in = info & io::IS_IN != 0;
        let told_width = match info >> io::ADDRESS_SHIFT & 7 {
            1 => Some(Width::Word),
            2 => Some(Width::Dword),
            4 => Some(Width::Qword),
            _ => None,
        };
        let told_segment = match info >> io::SEGMENT_SHIFT & 7 {
            0 => SegmentRegister::Es,
            1 => SegmentRegister::Cs,
            2 => SegmentRegister::Ss,
            3 => SegmentRegister::Ds,
            4 => SegmentRegister::Fs,
            _ => SegmentRegister::Gs,
        };
        // Some CPUs leave the address size out, and those without decode assists the segment.
        let (segment, address_width) = match told_width {
            Some(width) if is_in || self.features.decode_assists => (told_segment, width),
            _ => {
                let mut bytes = [0; 15];
                let code_bits = self.paging().code_bits();
                let (segment, width) = string_operand(self.fetch(&mut bytes), code_bits);
                (segment, told_width.unwrap_or(width))
            }
        };
        Exit::PioString(PioString {
            port,
            width,
            direction: if is_in {
                PioDirection::In
            } else {
                PioDirection::Out
            },
            is_repeated: info & io::IS_REPEATED != 0,
            address_width,
            segment: if is_in { SegmentRegister::Es } else { segment },
            len,
        })
    }

    fn len_to(&self, next_rip: u64) -> InsnLen {
        let len = next_rip.wrapping_sub(self.vmcb.save.rip);
        // A CPU that names a wrong place is not to be believed; one byte moves the guest on.
        const ONE: InsnLen = InsnLen::new(1).expect("one is a length");
        u8::try_from(len).ok().and_then(InsnLen::new).unwrap_or(ONE)
    }

    #[inline]
    fn msr_access(&mut self) -> Exit {
        let index = self.gpr(Gpr::Rcx) as u32;
        let len = self.insn_len(Opcode::MSR);
        if self.vmcb.control.exit_info1 & 1 != 0 {
            Exit::WriteMsr(WriteMsr {
                index,
                value: self.edx_eax(),
                len,
            })
        } else {
            Exit::ReadMsr(ReadMsr { index, len })
        }
    }

    #[inline]
    pub(crate) fn edx_eax(&self) -> u64 {
        self.gpr(Gpr::Rdx) << 32 | self.gpr(Gpr::Rax) & 0xffff_ffff
    }

    fn nested_fault(&mut self) -> Exit {
        let control = &self.vmcb.control;
        let info = control.exit_info1;
        let access = if info & fault::IS_FETCH != 0 {
            Access::Execute
        } else if info & fault::IS_WRITE != 0 {
            Access::Write
        } else {
            Access::Read
        };
        let is_table_walk = info & fault::IS_TABLE_WALK != 0;
        let mut insn = InsnBytes::default();
        if self.features.decode_assists && access != Access::Execute && !is_table_walk {
            insn = InsnBytes {
                count: control.fetched_count.min(15),
                bytes: control.fetched,
            };
        }
        Exit::SlatFault(SlatFault {
            gpa: Gpa::new(control.exit_info2),
            access,
            gva: None,
            is_table_walk,
            is_delivery: control.exit_interrupt & VALID != 0,
            insn,
        })
    }
}
