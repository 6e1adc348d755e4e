//! From the exit code to an [`Exit`], or to an answer of our own. (AMD APM vol. 2 15.8 to 15.14, appendix C)

use addr::Gpa;
use vcpu::{
    Access, Cpuid, EntryRefused, Exit, Halt, Hypercall, InsnBytes, InsnLen, Pause, PioDirection,
    PioIn, PioOut, PioString, ReadMsr, SlatFault, Vcpu, WriteMsr, Xsetbv,
};
use x86::{Exception, Fault, Gpr, SegmentRegister, Width};

use crate::code::to_len;
use crate::event::VALID;
use crate::exit_code as code;
use crate::insn_len::{Opcode, string_operand};
use crate::vmcb::{clean, tlb};
use crate::{SvmVcpu, consistency};

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

impl SvmVcpu {
    /// What to tell the VMM about the exit that has just happened; `None` when it is answered and the guest can go on.
    #[inline]
    pub(crate) fn decode(&mut self) -> Option<Exit> {
        let control = &mut self.vmcb.control;
        if matches!(control.exit_code as u32, code::INVALID | code::BUSY) {
            return Some(self.refused());
        }
        control.tlb_control = tlb::KEEP;
        control.clean = if self.features.clean_bits {
            clean::ALL
        } else {
            0
        };
        let cut_short = control.exit_interrupt;
        control.event = 0;
        if cut_short & VALID != 0 {
            self.requeue(cut_short);
        }
        Some(match self.vmcb.control.exit_code as u32 {
            code::CPUID => Exit::Cpuid(Cpuid {
                leaf: self.gpr(Gpr::Rax) as u32,
                subleaf: self.gpr(Gpr::Rcx) as u32,
                len: self.insn_len(Opcode::CPUID),
            }),
            code::IOIO => self.port_access(),
            code::MSR => self.msr_access(),
            code::HLT => Exit::Halt(Halt {
                len: self.insn_len(Opcode::HLT),
            }),
            code::NPF => self.nested_fault(),
            code::INTR => Exit::HostInterrupt,
            code::VINTR => {
                self.drop_window();
                Exit::InterruptWindow
            }
            code::PAUSE => Exit::Pause(Pause {
                len: self.insn_len(Opcode::PAUSE),
            }),
            code::VMMCALL => Exit::Hypercall(Hypercall {
                len: self.insn_len(Opcode::VMMCALL),
            }),
            code::XSETBV => return self.xsetbv(),
            code::SHUTDOWN => Exit::Shutdown,
            code::DEBUG => self.debug_exception(),
            code::ALIGNMENT_CHECK => {
                let error_code = self.vmcb.control.exit_info1 as u32;
                self.pass_on(Exception::AlignmentCheck, Some(error_code))
            }
            other => return self.answer(other),
        })
    }

    /// VMRUN refused the block. The state that was loaded last was looked at before the entry: emulators overwrite it here.
    #[cold]
    fn refused(&mut self) -> Exit {
        let reason = self
            .foreseen
            .or_else(|| consistency::fault(&self.vmcb))
            .unwrap_or(consistency::UNKNOWN);
        Exit::EntryRefused(EntryRefused { reason })
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
        to_len(u8::try_from(len).unwrap_or(0))
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
    fn edx_eax(&self) -> u64 {
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
}
