//! Effects of each instruction.

use crate::access::{Intent, Machine};
use crate::alu::{self, CF, Operation, ZF};
use crate::operand::{Reg, memory_width};
use crate::string::StringKind;
use crate::{Bus, Done, Stop};
use guest_memory::GuestMemory;
use iced_x86::{Instruction, Mnemonic, OpKind};
use vcpu::Vcpu;
use x86::{Gpr, SegmentRegister, Width};

impl<V: Vcpu, M: GuestMemory, B: Bus> Machine<'_, V, M, B> {
    /// Executes one instruction, all but its retirement. On `Err` it has not begun; of a repeated string, the iterations the
    /// registers tell of are done.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the decoder names all instructions; those not here are refused"
    )]
    pub(crate) fn step(&mut self, insn: &Instruction) -> Result<Done, Stop> {
        match insn.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movnti => self.mov(insn)?,
            Mnemonic::Movzx => self.extend(insn, |_, value| value)?,
            Mnemonic::Movsx | Mnemonic::Movsxd => self.extend(insn, sign_extend)?,
            Mnemonic::Movbe => self.move_swapped(insn)?,
            Mnemonic::Cmp => self.arithmetic(insn, Operation::Cmp)?,
            Mnemonic::Test => self.arithmetic(insn, Operation::Test)?,
            Mnemonic::And => self.arithmetic(insn, Operation::And)?,
            Mnemonic::Or => self.arithmetic(insn, Operation::Or)?,
            Mnemonic::Xor => self.arithmetic(insn, Operation::Xor)?,
            Mnemonic::Add => self.arithmetic(insn, Operation::Add)?,
            Mnemonic::Adc => self.arithmetic(insn, Operation::Adc)?,
            Mnemonic::Sub => self.arithmetic(insn, Operation::Sub)?,
            Mnemonic::Sbb => self.arithmetic(insn, Operation::Sbb)?,
            Mnemonic::Inc => self.update(insn, alu::increment)?,
            Mnemonic::Dec => self.update(insn, alu::decrement)?,
            Mnemonic::Not => self.update(insn, |width, a, rflags| (width.truncate(!a), rflags))?,
            Mnemonic::Neg => self.update(insn, |width, a, rflags| {
                Operation::Sub.apply(width, 0, a, rflags)
            })?,
            Mnemonic::Xchg => self.exchange(insn)?,
            Mnemonic::Xadd => self.exchange_add(insn)?,
            Mnemonic::Cmpxchg => self.compare_exchange(insn)?,
            Mnemonic::Cmpxchg8b => self.compare_exchange_8_bytes(insn)?,
            Mnemonic::Bt => self.bit(insn, |value, _| value, Intent::Read)?,
            Mnemonic::Bts => self.bit(insn, |value, bit| value | bit, Intent::Update)?,
            Mnemonic::Btr => self.bit(insn, |value, bit| value & !bit, Intent::Update)?,
            Mnemonic::Btc => self.bit(insn, |value, bit| value ^ bit, Intent::Update)?,
            Mnemonic::Push => self.push(insn)?,
            Mnemonic::Pop => self.pop(insn)?,
            // A device is not cached.
            Mnemonic::Clflush | Mnemonic::Clflushopt | Mnemonic::Clwb => {}
            Mnemonic::Movsb => return self.string(insn, StringKind::Move, Width::Byte),
            Mnemonic::Movsw => return self.string(insn, StringKind::Move, Width::Word),
            Mnemonic::Movsd => return self.string(insn, StringKind::Move, Width::Dword),
            Mnemonic::Movsq => return self.string(insn, StringKind::Move, Width::Qword),
            Mnemonic::Stosb => return self.string(insn, StringKind::Store, Width::Byte),
            Mnemonic::Stosw => return self.string(insn, StringKind::Store, Width::Word),
            Mnemonic::Stosd => return self.string(insn, StringKind::Store, Width::Dword),
            Mnemonic::Stosq => return self.string(insn, StringKind::Store, Width::Qword),
            Mnemonic::Lodsb => return self.string(insn, StringKind::Load, Width::Byte),
            Mnemonic::Lodsw => return self.string(insn, StringKind::Load, Width::Word),
            Mnemonic::Lodsd => return self.string(insn, StringKind::Load, Width::Dword),
            Mnemonic::Lodsq => return self.string(insn, StringKind::Load, Width::Qword),
            Mnemonic::Cmpsb => return self.string(insn, StringKind::Compare, Width::Byte),
            Mnemonic::Cmpsw => return self.string(insn, StringKind::Compare, Width::Word),
            Mnemonic::Cmpsd => return self.string(insn, StringKind::Compare, Width::Dword),
            Mnemonic::Cmpsq => return self.string(insn, StringKind::Compare, Width::Qword),
            Mnemonic::Scasb => return self.string(insn, StringKind::Scan, Width::Byte),
            Mnemonic::Scasw => return self.string(insn, StringKind::Scan, Width::Word),
            Mnemonic::Scasd => return self.string(insn, StringKind::Scan, Width::Dword),
            Mnemonic::Scasq => return self.string(insn, StringKind::Scan, Width::Qword),
            _ => return Err(Stop::Unsupported),
        }
        Ok(Done::Retire)
    }

    fn mov(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let linear = self.linear(insn)?;
        if insn.op0_kind() == OpKind::Memory {
            let width = memory_width(insn)?;
            let value = self.source(insn, width)?;
            let span = self.resolve(linear, width, Intent::Write)?;
            self.store(span, value);
        } else {
            let to = Reg::of(insn.op0_register())?;
            let span = self.resolve(linear, to.width, Intent::Read)?;
            let value = self.load(span);
            to.write(self.vcpu, value);
        }
        Ok(())
    }

    /// MOVZX, MOVSX: a register from a smaller memory operand.
    fn extend(&mut self, insn: &Instruction, how: fn(Width, u64) -> u64) -> Result<(), Stop> {
        let to = Reg::of(insn.op0_register())?;
        let width = memory_width(insn)?;
        let span = self.resolve(self.linear(insn)?, width, Intent::Read)?;
        let value = how(width, self.load(span));
        to.write(self.vcpu, value);
        Ok(())
    }

    fn move_swapped(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let linear = self.linear(insn)?;
        let swap =
            |width: Width, value: u64| value.swap_bytes() >> (64 - 8 * u32::from(width.bytes()));
        if insn.op0_kind() == OpKind::Memory {
            let from = Reg::of(insn.op1_register())?;
            let value = swap(from.width, from.read(self.vcpu));
            let span = self.resolve(linear, from.width, Intent::Write)?;
            self.store(span, value);
        } else {
            let to = Reg::of(insn.op0_register())?;
            let span = self.resolve(linear, to.width, Intent::Read)?;
            let value = swap(to.width, self.load(span));
            to.write(self.vcpu, value);
        }
        Ok(())
    }

    /// Two operands, one of them in memory.
    fn arithmetic(&mut self, insn: &Instruction, operation: Operation) -> Result<(), Stop> {
        let linear = self.linear(insn)?;
        let rflags = self.vcpu.rflags();
        if insn.op0_kind() == OpKind::Memory {
            let width = memory_width(insn)?;
            let b = self.source(insn, width)?;
            let intent = if operation.writes() {
                Intent::Update
            } else {
                Intent::Read
            };
            let span = self.resolve(linear, width, intent)?;
            let a = self.load(span);
            let (result, rflags) = operation.apply(width, a, b, rflags);
            if operation.writes() {
                self.store(span, result);
            }
            self.vcpu.set_status_flags(rflags);
        } else {
            let to = Reg::of(insn.op0_register())?;
            let span = self.resolve(linear, to.width, Intent::Read)?;
            let b = self.load(span);
            let (result, rflags) = operation.apply(to.width, to.read(self.vcpu), b, rflags);
            if operation.writes() {
                to.write(self.vcpu, result);
            }
            self.vcpu.set_status_flags(rflags);
        }
        Ok(())
    }

    /// One memory operand, changed in place.
    fn update(
        &mut self,
        insn: &Instruction,
        how: fn(Width, u64, u64) -> (u64, u64),
    ) -> Result<(), Stop> {
        let width = memory_width(insn)?;
        let span = self.resolve(self.linear(insn)?, width, Intent::Update)?;
        let value = self.load(span);
        let (result, rflags) = how(width, value, self.vcpu.rflags());
        self.store(span, result);
        self.vcpu.set_status_flags(rflags);
        Ok(())
    }

    fn exchange(&mut self, insn: &Instruction) -> Result<(), Stop> {
        // XCHG has no order; the decoder names the memory operand first or second by encoding.
        let other = if insn.op0_kind() == OpKind::Memory {
            insn.op1_register()
        } else {
            insn.op0_register()
        };
        let reg = Reg::of(other)?;
        let span = self.resolve(self.linear(insn)?, reg.width, Intent::Update)?;
        let old = self.load(span);
        self.store(span, reg.read(self.vcpu));
        reg.write(self.vcpu, old);
        Ok(())
    }

    fn exchange_add(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let reg = Reg::of(insn.op1_register())?;
        let span = self.resolve(self.linear(insn)?, reg.width, Intent::Update)?;
        let old = self.load(span);
        let rflags = self.vcpu.rflags();
        let (sum, rflags) = Operation::Add.apply(reg.width, old, reg.read(self.vcpu), rflags);
        self.store(span, sum);
        reg.write(self.vcpu, old);
        self.vcpu.set_status_flags(rflags);
        Ok(())
    }

    fn compare_exchange(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let reg = Reg::of(insn.op1_register())?;
        let width = reg.width;
        let span = self.resolve(self.linear(insn)?, width, Intent::Update)?;
        let old = self.load(span);
        let rax = self.vcpu.gpr(Gpr::Rax);
        let rflags = self.vcpu.rflags();
        let (_, rflags) = Operation::Cmp.apply(width, width.truncate(rax), old, rflags);
        if rflags & ZF != 0 {
            self.store(span, reg.read(self.vcpu));
        } else {
            // The write cycle takes place in either case.
            self.store(span, old);
            self.vcpu.set_gpr(Gpr::Rax, width.merge(rax, old));
        }
        self.vcpu.set_status_flags(rflags);
        Ok(())
    }

    fn compare_exchange_8_bytes(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let span = self.resolve(self.linear(insn)?, Width::Qword, Intent::Update)?;
        let old = self.load(span);
        let pair = |vcpu: &V, high, low| vcpu.gpr(high) << 32 | (vcpu.gpr(low) & 0xffff_ffff);
        let mut rflags = self.vcpu.rflags() & !ZF;
        if pair(self.vcpu, Gpr::Rdx, Gpr::Rax) == old {
            rflags |= ZF;
            let new = pair(self.vcpu, Gpr::Rcx, Gpr::Rbx);
            self.store(span, new);
        } else {
            self.store(span, old);
            self.vcpu.set_gpr(Gpr::Rax, old & 0xffff_ffff);
            self.vcpu.set_gpr(Gpr::Rdx, old >> 32);
        }
        self.vcpu.set_status_flags(rflags);
        Ok(())
    }

    /// BT and its kin. A register as bit number reaches beyond the operand; an immediate does not.
    fn bit(
        &mut self,
        insn: &Instruction,
        how: fn(u64, u64) -> u64,
        intent: Intent,
    ) -> Result<(), Stop> {
        let width = memory_width(insn)?;
        let bits = u64::from(width.bytes()) * 8;
        let number = self.source(insn, width)?;
        let linear = if insn.op1_kind() == OpKind::Register {
            let whole = sign_extend(width, number) as i64 >> bits.trailing_zeros();
            self.linear_plus(insn, (whole as u64).wrapping_mul(u64::from(width.bytes())))?
        } else {
            self.linear(insn)?
        };
        let span = self.resolve(linear, width, intent)?;
        let value = self.load(span);
        let bit = 1 << (number & (bits - 1));
        if intent == Intent::Update {
            self.store(span, how(value, bit));
        }
        let carry = if value & bit != 0 { CF } else { 0 };
        let rflags = (self.vcpu.rflags() & !CF) | carry;
        self.vcpu.set_status_flags(rflags);
        Ok(())
    }

    fn push(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let width = memory_width(insn)?;
        let from = self.resolve(self.linear(insn)?, width, Intent::Read)?;
        let stack = self.stack_width();
        let rsp = self.vcpu.gpr(Gpr::Rsp);
        let new = stack.merge(rsp, rsp.wrapping_sub(u64::from(width.bytes())));
        let top = self.in_segment(SegmentRegister::Ss, stack.truncate(new));
        let to = self.resolve(top, width, Intent::Write)?;
        let value = self.load(from);
        self.store(to, value);
        self.vcpu.set_gpr(Gpr::Rsp, new);
        Ok(())
    }

    fn pop(&mut self, insn: &Instruction) -> Result<(), Stop> {
        let width = memory_width(insn)?;
        let stack = self.stack_width();
        let rsp = self.vcpu.gpr(Gpr::Rsp);
        let top = self.in_segment(SegmentRegister::Ss, stack.truncate(rsp));
        let from = self.resolve(top, width, Intent::Read)?;
        let new = stack.merge(rsp, rsp.wrapping_add(u64::from(width.bytes())));
        // An address that names RSP is that after the increment.
        self.vcpu.set_gpr(Gpr::Rsp, new);
        let to = self
            .linear(insn)
            .and_then(|linear| self.resolve(linear, width, Intent::Write))
            .inspect_err(|_| self.vcpu.set_gpr(Gpr::Rsp, rsp))?;
        let value = self.load(from);
        self.store(to, value);
        Ok(())
    }

    fn stack_width(&self) -> Width {
        if self.is_64_bit {
            Width::Qword
        } else if self.vcpu.segment(SegmentRegister::Ss).attributes.is_big() {
            Width::Dword
        } else {
            Width::Word
        }
    }
}

/// The value of `width` as a signed number of 64 bits.
fn sign_extend(width: Width, value: u64) -> u64 {
    let shift = 64 - 8 * u32::from(width.bytes());
    ((value << shift) as i64 >> shift) as u64
}
