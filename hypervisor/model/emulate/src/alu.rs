//! Results and arithmetic flags. (Intel SDM vol. 1 3.4.3.1 and vol. 2, each instruction's "Flags Affected")

use x86::{Rflags, Width};

/// Carry.
pub(crate) const CF: u64 = Rflags::CARRY_FLAG.bits();
const PF: u64 = Rflags::PARITY_FLAG.bits();
const AF: u64 = Rflags::AUXILIARY_CARRY_FLAG.bits();
/// Zero.
pub(crate) const ZF: u64 = Rflags::ZERO_FLAG.bits();
const SF: u64 = Rflags::SIGN_FLAG.bits();
const OF: u64 = Rflags::OVERFLOW_FLAG.bits();
/// All of them.
pub(crate) const STATUS: u64 = CF | PF | AF | ZF | SF | OF;

/// Operation on two operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    /// SUB, but only the flags are kept.
    Cmp,
    /// AND, but only the flags are kept.
    Test,
}

impl Operation {
    /// Returns whether the first operand is replaced by the result.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::Cmp | Self::Test)
    }

    /// Result and new RFLAGS for operands already cut to `width`.
    pub(crate) fn apply(self, width: Width, a: u64, b: u64, rflags: u64) -> (u64, u64) {
        let carry = rflags & CF;
        let (result, status) = match self {
            Self::Add => add(width, a, b, 0),
            Self::Adc => add(width, a, b, carry),
            Self::Sub | Self::Cmp => subtract(width, a, b, 0),
            Self::Sbb => subtract(width, a, b, carry),
            Self::And | Self::Test => logic(width, a & b),
            Self::Or => logic(width, a | b),
            Self::Xor => logic(width, a ^ b),
        };
        (result, (rflags & !STATUS) | status)
    }
}

fn sign_bit(width: Width) -> u64 {
    width.ones() ^ (width.ones() >> 1)
}

/// SF, ZF and PF of a result.
fn of_result(width: Width, result: u64) -> u64 {
    let mut flags = 0;
    if result == 0 {
        flags |= ZF;
    }
    if result & sign_bit(width) != 0 {
        flags |= SF;
    }
    if (result as u8).count_ones().is_multiple_of(2) {
        flags |= PF;
    }
    flags
}

fn logic(width: Width, result: u64) -> (u64, u64) {
    (result, of_result(width, result))
}

fn add(width: Width, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    let result = width.truncate(wide as u64);
    let mut flags = of_result(width, result);
    if wide > u128::from(width.ones()) {
        flags |= CF;
    }
    if (a ^ result) & (b ^ result) & sign_bit(width) != 0 {
        flags |= OF;
    }
    (result, flags | ((a ^ b ^ result) & AF))
}

fn subtract(width: Width, a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let result = width.truncate(a.wrapping_sub(b).wrapping_sub(borrow));
    let mut flags = of_result(width, result);
    if u128::from(a) < u128::from(b) + u128::from(borrow) {
        flags |= CF;
    }
    if (a ^ b) & (a ^ result) & sign_bit(width) != 0 {
        flags |= OF;
    }
    (result, flags | ((a ^ b ^ result) & AF))
}

/// INC: ADD of one that leaves the carry alone.
pub(crate) fn increment(width: Width, a: u64, rflags: u64) -> (u64, u64) {
    let (result, status) = add(width, a, 1, 0);
    (result, (rflags & !(STATUS & !CF)) | (status & !CF))
}

/// DEC: SUB of one that leaves the carry alone.
pub(crate) fn decrement(width: Width, a: u64, rflags: u64) -> (u64, u64) {
    let (result, status) = subtract(width, a, 1, 0);
    (result, (rflags & !(STATUS & !CF)) | (status & !CF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_the_manual() {
        let add = |a, b| Operation::Add.apply(Width::Byte, a, b, 0);
        assert_eq!(add(0x7f, 1), (0x80, OF | SF | AF));
        assert_eq!(add(0xff, 1), (0, CF | ZF | PF | AF));
        let sub = |a, b| Operation::Cmp.apply(Width::Dword, a, b, 0);
        assert_eq!(sub(0, 1), (0xffff_ffff, CF | SF | PF | AF));
        assert_eq!(sub(0x8000_0000, 1), (0x7fff_ffff, OF | PF | AF));
        let sbb = Operation::Sbb.apply(Width::Qword, 0, u64::MAX, CF);
        assert_eq!(sbb, (0, CF | ZF | PF | AF));
        let adc = Operation::Adc.apply(Width::Qword, u64::MAX, u64::MAX, CF);
        assert_eq!(adc, (u64::MAX, CF | SF | PF | AF));
        assert_eq!(
            Operation::And.apply(Width::Word, 0xff00, 0x8001, CF | OF),
            (0x8000, SF | PF)
        );
        assert_eq!(increment(Width::Byte, 0xff, CF), (0, CF | ZF | PF | AF));
        assert_eq!(decrement(Width::Byte, 0, 0), (0xff, SF | PF | AF));
    }
}
