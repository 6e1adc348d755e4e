//! MOVS, STOS, LODS, CMPS and SCAS, with and without REP.

use crate::access::{Intent, Machine};
use crate::alu::{Operation, ZF};
use crate::operand::segment_register;
use crate::{Bus, Done, Stop};
use guest_memory::GuestMemory;
use iced_x86::{Instruction, OpKind};
use vcpu::Vcpu;
use x86::{Gpr, Rflags, SegmentRegister, Width};

/// Which of the five.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringKind {
    Move,
    Store,
    Load,
    Compare,
    Scan,
}

impl StringKind {
    fn has_source(self) -> bool {
        matches!(self, Self::Move | Self::Load | Self::Compare)
    }

    fn has_destination(self) -> bool {
        self != Self::Load
    }
}

/// Iterations at most in one go: a few microseconds of device accesses, then whatever waits gets its turn.
const ITERATIONS: u32 = 256;

impl<V: Vcpu, M: GuestMemory, B: Bus> Machine<'_, V, M, B> {
    pub(crate) fn string(
        &mut self,
        insn: &Instruction,
        kind: StringKind,
        width: Width,
    ) -> Result<Done, Stop> {
        let address = address_width(insn)?;
        let is_repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
        // REPNE ends CMPS and SCAS at the first equal pair, REPE at the first different one.
        let ends_at = if insn.has_repne_prefix() { ZF } else { 0 };
        for _ in 0..ITERATIONS {
            let count = address.truncate(self.vcpu.gpr(Gpr::Rcx));
            if is_repeated && count == 0 {
                return Ok(Done::Retire);
            }
            self.iterate(insn, kind, width, address)?;
            if !is_repeated {
                return Ok(Done::Retire);
            }
            self.advance(Gpr::Rcx, address, u64::MAX);
            let is_tested = matches!(kind, StringKind::Compare | StringKind::Scan);
            let is_over = is_tested && self.vcpu.rflags() & ZF == ends_at;
            if is_over || count == 1 {
                return Ok(Done::Retire);
            }
        }
        Ok(Done::Again)
    }

    fn iterate(
        &mut self,
        insn: &Instruction,
        kind: StringKind,
        width: Width,
        address: Width,
    ) -> Result<(), Stop> {
        let is_down = self.vcpu.rflags() & Rflags::DIRECTION_FLAG.bits() != 0;
        let step = u64::from(width.bytes());
        let step = if is_down { step.wrapping_neg() } else { step };
        let from = self.in_segment(
            segment_register(insn.memory_segment()),
            address.truncate(self.vcpu.gpr(Gpr::Rsi)),
        );
        let to = self.in_segment(
            SegmentRegister::Es,
            address.truncate(self.vcpu.gpr(Gpr::Rdi)),
        );
        let rax = self.vcpu.gpr(Gpr::Rax);
        match kind {
            StringKind::Move => {
                let from = self.resolve(from, width, Intent::Read)?;
                let to = self.resolve(to, width, Intent::Write)?;
                let value = self.load(from);
                self.store(to, value);
            }
            StringKind::Store => {
                let to = self.resolve(to, width, Intent::Write)?;
                self.store(to, width.truncate(rax));
            }
            StringKind::Load => {
                let from = self.resolve(from, width, Intent::Read)?;
                let value = self.load(from);
                self.vcpu.set_gpr(Gpr::Rax, width.merge(rax, value));
            }
            StringKind::Compare => {
                let from = self.resolve(from, width, Intent::Read)?;
                let to = self.resolve(to, width, Intent::Read)?;
                let a = self.load(from);
                let b = self.load(to);
                self.compare(width, a, b);
            }
            StringKind::Scan => {
                let to = self.resolve(to, width, Intent::Read)?;
                let b = self.load(to);
                self.compare(width, width.truncate(rax), b);
            }
        }
        if kind.has_source() {
            self.advance(Gpr::Rsi, address, step);
        }
        if kind.has_destination() {
            self.advance(Gpr::Rdi, address, step);
        }
        Ok(())
    }

    fn compare(&mut self, width: Width, a: u64, b: u64) {
        let (_, rflags) = Operation::Cmp.apply(width, a, b, self.vcpu.rflags());
        self.vcpu.set_status_flags(rflags);
    }

    fn advance(&mut self, reg: Gpr, address: Width, by: u64) {
        let old = self.vcpu.gpr(reg);
        self.vcpu
            .set_gpr(reg, address.merge(old, old.wrapping_add(by)));
    }
}

/// The width of rSI, rDI and rCX. MOVSD and CMPSD of the vector set have other operands and end here.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the decoder's other kinds of operand belong to no string instruction"
)]
fn address_width(insn: &Instruction) -> Result<Width, Stop> {
    let of = |kind| match kind {
        OpKind::MemorySegSI | OpKind::MemoryESDI => Some(Width::Word),
        OpKind::MemorySegESI | OpKind::MemoryESEDI => Some(Width::Dword),
        OpKind::MemorySegRSI | OpKind::MemoryESRDI => Some(Width::Qword),
        _ => None,
    };
    of(insn.op0_kind())
        .or_else(|| of(insn.op1_kind()))
        .ok_or(Stop::Unsupported)
}
