//! Lengths of exiting instructions, where the CPU does not save the next RIP.
//!
//! An exit proves which instruction the CPU decoded at RIP; only the number of its prefixes is unknown, and it stands in the
//! bytes. Bytes that show another instruction were changed, or mapped elsewhere, after the CPU fetched them: then the length
//! without prefixes is used. Whatever a guest achieves by that, it is a wrong RIP of its own.

use vcpu::InsnLen;
use x86::{Gpr, SegmentRegister, Width};

/// An opcode that exits, without prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opcode {
    /// First bytes, lowest address in the low bits.
    bytes: u32,
    /// Which bits of `bytes` count.
    mask: u32,
    /// Length without prefixes.
    len: InsnLen,
}

impl Opcode {
    /// CPUID.
    pub(crate) const CPUID: Self = Self::new(0xa20f, 0xffff, 2);
    /// RDMSR or WRMSR.
    pub(crate) const MSR: Self = Self::new(0x300f, 0xfdff, 2);
    /// HLT.
    pub(crate) const HLT: Self = Self::new(0xf4, 0xff, 1);
    /// PAUSE is NOP with a prefix.
    pub(crate) const PAUSE: Self = Self::new(0x90, 0xff, 1);
    /// INVD, WBINVD; WBNOINVD has a prefix. TCG reports all of them with one code.
    pub(crate) const WBINVD: Self = Self::new(0x080f, 0xfeff, 2);
    /// VMMCALL.
    pub(crate) const VMMCALL: Self = Self::new(0xd9_010f, 0xff_ffff, 3);
    /// XSETBV.
    pub(crate) const XSETBV: Self = Self::new(0xd1_010f, 0xff_ffff, 3);
    /// MOV to a control register: its ModRM byte is the third.
    const MOV_TO_CR: Self = Self::new(0x220f, 0xffff, 3);

    const fn new(bytes: u32, mask: u32, len: u8) -> Self {
        let len = InsnLen::new(len).expect("1 to 3");
        Self { bytes, mask, len }
    }

    /// Length without prefixes.
    pub(crate) const fn shortest(self) -> InsnLen {
        self.len
    }

    /// Returns whether the instruction starts here, without prefixes; `word` has the bytes at RIP,
    /// the first one lowest.
    #[inline]
    pub(crate) const fn is_at(self, word: u64) -> bool {
        word as u32 & self.mask == self.bytes
    }

    /// Length of the instruction at the start of `bytes`, with its prefixes, if it is this one.
    pub(crate) fn length(self, bytes: &[u8], is_64_bit: bool) -> Option<InsnLen> {
        let prefixes = Prefixes::of(bytes, is_64_bit);
        let rest = bytes.get(usize::from(prefixes.count)..)?;
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        let is_whole = rest.len() >= usize::from(self.len.bytes());
        if !is_whole || !self.is_at(u64::from_le_bytes(word)) {
            return None;
        }
        InsnLen::new(prefixes.count + self.len.bytes())
    }
}

/// The general-purpose register and the length of the MOV to a control register at the start of `bytes`, if there is one.
pub(crate) fn mov_to_cr(bytes: &[u8], is_64_bit: bool) -> Option<(Gpr, InsnLen)> {
    let len = Opcode::MOV_TO_CR.length(bytes, is_64_bit)?;
    let prefixes = Prefixes::of(bytes, is_64_bit);
    let modrm = *bytes.get(usize::from(len.bytes()) - 1)?;
    Some((
        Gpr::from_encoding((modrm & 7) | (prefixes.rex & 1) << 3),
        len,
    ))
}

/// Segment and address width of the INS or OUTS at the start of `bytes`; `code_bits` is 16, 32 or 64.
pub(crate) fn string_operand(bytes: &[u8], code_bits: u32) -> (SegmentRegister, Width) {
    let prefixes = Prefixes::of(bytes, code_bits == 64);
    let width = match (code_bits, prefixes.has_address_size) {
        (64, false) => Width::Qword,
        (64, true) | (32, false) => Width::Dword,
        (32, true) => Width::Word,
        (_, true) => Width::Dword,
        (_, false) => Width::Word,
    };
    (prefixes.segment.unwrap_or(SegmentRegister::Ds), width)
}

/// Prefixes before an opcode.
struct Prefixes {
    /// Bytes, 0 to 14.
    count: u8,
    /// The REX prefix, or 0.
    rex: u8,
    has_address_size: bool,
    segment: Option<SegmentRegister>,
}

impl Prefixes {
    fn of(bytes: &[u8], is_64_bit: bool) -> Self {
        let mut found = Self {
            count: 0,
            rex: 0,
            has_address_size: false,
            segment: None,
        };
        for &byte in bytes.iter().take(14) {
            let mut rex = 0;
            match byte {
                0x40..=0x4f if is_64_bit => rex = byte,
                0x26 => found.segment = Some(SegmentRegister::Es),
                0x2e => found.segment = Some(SegmentRegister::Cs),
                0x36 => found.segment = Some(SegmentRegister::Ss),
                0x3e => found.segment = Some(SegmentRegister::Ds),
                0x64 => found.segment = Some(SegmentRegister::Fs),
                0x65 => found.segment = Some(SegmentRegister::Gs),
                0x67 => found.has_address_size = true,
                0x66 | 0xf0 | 0xf2 | 0xf3 => {}
                _ => break,
            }
            // A REX prefix that is not the last one does not count.
            found.rex = rex;
            found.count += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(opcode: Opcode, bytes: &[u8], is_64_bit: bool) -> Option<u8> {
        opcode.length(bytes, is_64_bit).map(InsnLen::bytes)
    }

    #[test]
    fn prefixes_count() {
        assert_eq!(length(Opcode::CPUID, &[0x0f, 0xa2], true), Some(2));
        assert_eq!(
            length(Opcode::CPUID, &[0x66, 0x48, 0x0f, 0xa2], true),
            Some(4)
        );
        assert_eq!(length(Opcode::CPUID, &[0x48, 0x0f, 0xa2], false), None);
        assert_eq!(length(Opcode::PAUSE, &[0xf3, 0x90], false), Some(2));
        assert_eq!(length(Opcode::MSR, &[0x0f, 0x30], true), Some(2));
        assert_eq!(length(Opcode::MSR, &[0x0f, 0x32], true), Some(2));
        assert_eq!(length(Opcode::MSR, &[0x0f, 0x31], true), None);
        assert_eq!(length(Opcode::WBINVD, &[0xf3, 0x0f, 0x09], true), Some(3));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_nothing() {
        assert_eq!(length(Opcode::VMMCALL, &[0x0f, 0x01], true), None);
        assert_eq!(length(Opcode::HLT, &[], true), None);
        let mut bytes = [0x66; 16];
        bytes[14..].copy_from_slice(&[0x0f, 0xa2]);
        assert_eq!(length(Opcode::CPUID, &bytes, true), None);
        bytes[13..15].copy_from_slice(&[0x0f, 0xa2]);
        assert_eq!(length(Opcode::CPUID, &bytes, true), Some(15));
    }

    #[test]
    fn control_register_moves_name_their_register() {
        let register = |bytes: &[u8], is_64_bit| {
            mov_to_cr(bytes, is_64_bit).map(|(gpr, len)| (gpr, len.bytes()))
        };
        // mov cr8, r9: 45 0f 22 c1; mov cr4, rax: 0f 22 e0
        assert_eq!(
            register(&[0x45, 0x0f, 0x22, 0xc1], true),
            Some((Gpr::R9, 4))
        );
        assert_eq!(register(&[0x0f, 0x22, 0xe0], false), Some((Gpr::Rax, 3)));
        assert_eq!(register(&[0x0f, 0x20, 0xe0], false), None);
    }

    #[test]
    fn string_operands_follow_prefixes() {
        use SegmentRegister::{Ds, Fs};
        assert_eq!(string_operand(&[0xf3, 0x6e], 64), (Ds, Width::Qword));
        assert_eq!(
            string_operand(&[0x64, 0x67, 0xf3, 0x6f], 64),
            (Fs, Width::Dword)
        );
        assert_eq!(string_operand(&[0x67, 0x6e], 32), (Ds, Width::Word));
        assert_eq!(string_operand(&[0x67, 0x6e], 16), (Ds, Width::Dword));
    }
}
