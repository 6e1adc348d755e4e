//! From CS:RIP to a decoded instruction.

use crate::Stop;
use addr::{Gva, PAGE_BYTES};
use guest_memory::GuestMemory;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use slat::walk::{self, WalkFault};
use vcpu::{Access, InsnBytes, Paging};

/// Builds the decoder's tables, which it otherwise does at its first instruction: they take time and heap that no exit has.
pub fn warm_up() {
    for bits in [16, 32, 64] {
        let mut decoder = Decoder::new(bits, &[0x8b, 0x00], DecoderOptions::NONE);
        let _ = decoder.decode();
    }
}

/// Decodes the instruction in `bytes`, or, where the CPU supplied none or too few, at CS:RIP; `bytes` tells afterwards what
/// was looked at.
pub(crate) fn decode(
    memory: &impl GuestMemory,
    paging: &Paging,
    bytes: &mut InsnBytes,
) -> Result<Instruction, Stop> {
    let bits = paging.code_bits();
    if bytes.count > 0
        && let Ok(insn) = decode_bytes(bits, paging.rip, bytes)
    {
        return Ok(insn);
    }
    bytes.count = 0;
    let count = match walk::fetch(memory, paging, &mut bytes.bytes) {
        Ok(count) => count,
        Err(WalkFault::Fault(fault)) => return Err(Stop::Fault(fault)),
        Err(WalkFault::NotRam(_)) => return Err(Stop::Unsupported),
    };
    bytes.count = count as u8;
    decode_bytes(bits, paging.rip, bytes).map_err(|error| {
        if error == DecoderError::NoMoreBytes && count < bytes.bytes.len() {
            next_page(memory, paging, count)
        } else {
            Stop::Unsupported
        }
    })
}

fn decode_bytes(bits: u32, rip: u64, bytes: &InsnBytes) -> Result<Instruction, DecoderError> {
    let given = bytes
        .bytes
        .get(..usize::from(bytes.count))
        .unwrap_or(&bytes.bytes);
    let mut decoder = Decoder::with_ip(bits, given, rip, DecoderOptions::NONE);
    let insn = decoder.decode();
    let error = decoder.last_error();
    if error == DecoderError::None {
        Ok(insn)
    } else {
        Err(error)
    }
}

/// Why the instruction does not go on behind its first `count` bytes.
fn next_page(memory: &impl GuestMemory, paging: &Paging, count: usize) -> Stop {
    let base = if paging.is_64_bit() {
        0
    } else {
        paging.cs.base
    };
    let start = base.wrapping_add(paging.rip);
    let next = Gva::new(start.wrapping_add(count as u64)).align_down(PAGE_BYTES);
    match walk::translate(memory, paging, next, Access::Execute, paging.cpl == 3) {
        Err(WalkFault::Fault(fault)) => Stop::Fault(fault),
        Ok(_) | Err(WalkFault::NotRam(_)) => Stop::Unsupported,
    }
}
