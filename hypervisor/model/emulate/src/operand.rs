//! Registers and addresses an instruction names.

use crate::Stop;
use crate::access::Machine;
use guest_memory::GuestMemory;
use iced_x86::{Instruction, MemorySize, OpKind, Register};
use vcpu::Vcpu;
use x86::{Gpr, SegmentRegister, Width};

/// A general-purpose register or a part of one.
#[derive(Clone, Copy)]
pub(crate) struct Reg {
    gpr: Gpr,
    /// AH, CH, DH, BH.
    is_high: bool,
    pub(crate) width: Width,
}

impl Reg {
    /// The register under the decoder's name; none for anything but general-purpose registers.
    pub(crate) fn of(register: Register) -> Result<Self, Stop> {
        const AL: u8 = Register::AL as u8;
        const BL: u8 = Register::BL as u8;
        const AH: u8 = Register::AH as u8;
        const BH: u8 = Register::BH as u8;
        const SPL: u8 = Register::SPL as u8;
        const R15L: u8 = Register::R15L as u8;
        const AX: u8 = Register::AX as u8;
        const R15W: u8 = Register::R15W as u8;
        const EAX: u8 = Register::EAX as u8;
        const R15D: u8 = Register::R15D as u8;
        const RAX: u8 = Register::RAX as u8;
        const R15: u8 = Register::R15 as u8;
        let number = register as u8;
        let (encoding, is_high, width) = match number {
            RAX..=R15 => (number - RAX, false, Width::Qword),
            EAX..=R15D => (number - EAX, false, Width::Dword),
            AX..=R15W => (number - AX, false, Width::Word),
            AL..=BL => (number - AL, false, Width::Byte),
            AH..=BH => (number - AH, true, Width::Byte),
            SPL..=R15L => (number - SPL + 4, false, Width::Byte),
            _ => return Err(Stop::Unsupported),
        };
        Ok(Self {
            gpr: Gpr::from_encoding(encoding),
            is_high,
            width,
        })
    }

    pub(crate) fn read(self, vcpu: &impl Vcpu) -> u64 {
        let whole = vcpu.gpr(self.gpr);
        self.width
            .truncate(if self.is_high { whole >> 8 } else { whole })
    }

    pub(crate) fn write(self, vcpu: &mut impl Vcpu, value: u64) {
        let old = vcpu.gpr(self.gpr);
        let new = if self.is_high {
            (old & !0xff00) | ((value & 0xff) << 8)
        } else {
            self.width.merge(old, value)
        };
        vcpu.set_gpr(self.gpr, new);
    }
}

/// The width of the memory operand, where it is one of an integer.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other sizes are vectors, pointers and floats: refused, as a new one would be"
)]
pub(crate) fn memory_width(insn: &Instruction) -> Result<Width, Stop> {
    match insn.memory_size() {
        MemorySize::UInt8 | MemorySize::Int8 => Ok(Width::Byte),
        MemorySize::UInt16 | MemorySize::Int16 => Ok(Width::Word),
        MemorySize::UInt32 | MemorySize::Int32 => Ok(Width::Dword),
        MemorySize::UInt64 | MemorySize::Int64 => Ok(Width::Qword),
        _ => Err(Stop::Unsupported),
    }
}

/// The segment register under the decoder's name.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the decoder names all registers; only segment registers come here, and DS is left"
)]
pub(crate) fn segment_register(register: Register) -> SegmentRegister {
    match register {
        Register::ES => SegmentRegister::Es,
        Register::CS => SegmentRegister::Cs,
        Register::SS => SegmentRegister::Ss,
        Register::FS => SegmentRegister::Fs,
        Register::GS => SegmentRegister::Gs,
        _ => SegmentRegister::Ds,
    }
}

impl<V: Vcpu, M: GuestMemory, B> Machine<'_, V, M, B> {
    /// The value of operand 1, a register or an immediate, cut to `width`.
    pub(crate) fn source(&self, insn: &Instruction, width: Width) -> Result<u64, Stop> {
        let value = if insn.op1_kind() == OpKind::Register {
            Reg::of(insn.op1_register())?.read(self.vcpu)
        } else {
            insn.try_immediate(1).map_err(|_| Stop::Unsupported)?
        };
        Ok(width.truncate(value))
    }

    /// The linear address of the memory operand.
    pub(crate) fn linear(&self, insn: &Instruction) -> Result<u64, Stop> {
        self.linear_plus(insn, 0)
    }

    /// The linear address `bytes` behind the start of the memory operand, added before the address is cut to its size.
    pub(crate) fn linear_plus(&self, insn: &Instruction, bytes: u64) -> Result<u64, Stop> {
        if insn.op0_kind() != OpKind::Memory && insn.op1_kind() != OpKind::Memory {
            // Another CPU has rewritten the instruction meanwhile.
            return Err(Stop::Unsupported);
        }
        let mut offset = insn.memory_displacement64().wrapping_add(bytes);
        let mut width = Width::from_bytes(u64::from(insn.memory_displ_size()));
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`Reg::of` judges the rest of the decoder's registers"
        )]
        match insn.memory_base() {
            Register::None => {}
            // The decoder has added RIP already.
            Register::RIP => width = Some(Width::Qword),
            Register::EIP => width = Some(Width::Dword),
            base => {
                let base = Reg::of(base)?;
                offset = offset.wrapping_add(base.read(self.vcpu));
                width = Some(base.width);
            }
        }
        if insn.memory_index() != Register::None {
            let index = Reg::of(insn.memory_index())?;
            let scaled = index
                .read(self.vcpu)
                .wrapping_mul(u64::from(insn.memory_index_scale()));
            offset = offset.wrapping_add(scaled);
            width = Some(index.width);
        }
        let offset = width.unwrap_or(Width::Qword).truncate(offset);
        Ok(self.in_segment(segment_register(insn.memory_segment()), offset))
    }

    /// The linear address of `offset` in a segment. In 64-bit code only FS and GS have a base.
    pub(crate) fn in_segment(&self, segment: SegmentRegister, offset: u64) -> u64 {
        if self.is_64_bit {
            match segment {
                SegmentRegister::Fs | SegmentRegister::Gs => {
                    self.vcpu.segment(segment).base.wrapping_add(offset)
                }
                SegmentRegister::Es
                | SegmentRegister::Cs
                | SegmentRegister::Ss
                | SegmentRegister::Ds => offset,
            }
        } else {
            self.vcpu.segment(segment).base.wrapping_add(offset) & 0xffff_ffff
        }
    }
}
