//! INS and OUTS: strings of port accesses, a page of memory at a time.

use crate::{Outcome, raise};
use addr::{Gpa, Gva, PAGE_BYTES};
use guest_memory::GuestMemory;
use slat::walk::{self, WalkFault};
use vcpu::{Access, Paging, PioDirection, PioString, Vcpu};
use x86::{Fault, Gpr, Rflags, SegmentRegister, Width};

/// Where port accesses go.
pub trait PortBus {
    /// Reads a port; bits above `width` are ignored.
    fn read(&mut self, port: u16, width: Width) -> u32;

    /// Writes a port.
    fn write(&mut self, port: u16, width: Width, value: u32);

    /// Reads the same port again and again until `into`, a multiple of `width`, is full.
    fn read_many(&mut self, port: u16, width: Width, into: &mut [u8]) {
        for element in into.chunks_exact_mut(usize::from(width.bytes())) {
            let value = self.read(port, width).to_le_bytes();
            for (to, from) in element.iter_mut().zip(value) {
                *to = from;
            }
        }
    }

    /// Writes all of `from`, a multiple of `width`, to the same port.
    fn write_many(&mut self, port: u16, width: Width, from: &[u8]) {
        for element in from.chunks_exact(usize::from(width.bytes())) {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(element) {
                *to = *from;
            }
            self.write(port, width, u32::from_le_bytes(value));
        }
    }
}

/// Bytes moved at a time.
const CHUNK_BYTES: usize = 1024;
/// Number of iterations that one going downward counts for: each walks the guest's page tables,
/// which costs about so much.
const DOWNWARD_COST: u64 = 16;

/// Does up to `limit` iterations of INS or OUTS, fewer where they go downward, and answers the exit: moves on, leaves the rest for later, or raises the fault
/// of the memory operand. Registers tell in each case how far it came.
///
/// Memory that is not RAM reads as all ones and swallows what is written.
pub fn pio_string(
    vcpu: &mut impl Vcpu,
    memory: &impl GuestMemory,
    io: PioString,
    port: &mut impl PortBus,
    limit: u64,
) -> Outcome {
    let address = io.address_width;
    let paging = vcpu.paging();
    let mut left = if io.is_repeated {
        address.truncate(vcpu.gpr(Gpr::Rcx))
    } else {
        1
    };
    let mut budget = limit.max(1);
    while left > 0 {
        if budget == 0 {
            io.resume_later();
            return Outcome::Again;
        }
        let chunk = Chunk::next(vcpu, &paging, &io, left.min(budget));
        match chunk.transfer(memory, &paging, &io, port) {
            Ok(()) => {}
            Err(WalkFault::Fault(fault)) => return raise(vcpu, fault),
            Err(WalkFault::NotRam(_)) => return raise(vcpu, Fault::GENERAL_PROTECTION),
        }
        chunk.advance(vcpu, &io);
        left -= chunk.count;
        budget = budget.saturating_sub(if chunk.is_down {
            DOWNWARD_COST
        } else {
            chunk.count
        });
    }
    io.finish(vcpu);
    Outcome::Retired
}

/// Elements that lie on one page, or a single one that does not.
struct Chunk {
    linear: u64,
    count: u64,
    is_down: bool,
}

impl Chunk {
    fn next(vcpu: &impl Vcpu, paging: &Paging, io: &PioString, most: u64) -> Self {
        let offset = io.address_width.truncate(vcpu.gpr(index_register(io)));
        let is_64_bit = paging.is_64_bit();
        let has_base = match io.segment {
            SegmentRegister::Fs | SegmentRegister::Gs => true,
            SegmentRegister::Es
            | SegmentRegister::Cs
            | SegmentRegister::Ss
            | SegmentRegister::Ds => !is_64_bit,
        };
        let base = if has_base {
            vcpu.segment(io.segment).base
        } else {
            0
        };
        let linear = base.wrapping_add(offset);
        let linear = if is_64_bit {
            linear
        } else {
            linear & 0xffff_ffff
        };
        let bytes = u64::from(io.width.bytes());
        let is_down = vcpu.rflags() & Rflags::DIRECTION_FLAG.bits() != 0;
        // Not past the page, nor past where the offset wraps.
        let on_page = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
        let to_wrap = (io.address_width.ones() - offset).saturating_add(1);
        let room = on_page.min(to_wrap).min(CHUNK_BYTES as u64) / bytes;
        let count = if is_down { 1 } else { room.clamp(1, most) };
        Self {
            linear,
            count,
            is_down,
        }
    }

    fn transfer(
        &self,
        memory: &impl GuestMemory,
        paging: &Paging,
        io: &PioString,
        port: &mut impl PortBus,
    ) -> Result<(), WalkFault> {
        let mut buffer = [0xff; CHUNK_BYTES];
        let len = (self.count * u64::from(io.width.bytes())) as usize;
        // `count` was cut so that it fits.
        let buffer = buffer.get_mut(..len).unwrap_or(&mut []);
        let access = match io.direction {
            PioDirection::In => Access::Write,
            PioDirection::Out => Access::Read,
        };
        let is_user = paging.cpl == 3;
        let on_page = (PAGE_BYTES - (self.linear & (PAGE_BYTES - 1))) as usize;
        let first = walk::translate(memory, paging, Gva::new(self.linear), access, is_user)?;
        let pieces: [(Gpa, usize); 2] = if len <= on_page {
            [(first, len), (first, 0)]
        } else {
            let next = Gva::new(self.linear.wrapping_add(on_page as u64));
            let second = walk::translate(memory, paging, next, access, is_user)?;
            [(first, on_page), (second, len - on_page)]
        };
        match io.direction {
            PioDirection::In => {
                port.read_many(io.port, io.width, buffer);
                let mut rest: &[u8] = buffer;
                for (at, len) in pieces {
                    let (piece, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                    // What is not RAM swallows it.
                    let _ = memory.write(at, piece);
                    rest = behind;
                }
            }
            PioDirection::Out => {
                let mut at_byte = 0;
                for (at, len) in pieces {
                    if let Some(piece) = buffer.get_mut(at_byte..at_byte + len)
                        && memory.read(at, piece).is_err()
                    {
                        piece.fill(0xff);
                    }
                    at_byte += len;
                }
                port.write_many(io.port, io.width, buffer);
            }
        }
        Ok(())
    }

    fn advance(&self, vcpu: &mut impl Vcpu, io: &PioString) {
        let mut step = self.count * u64::from(io.width.bytes());
        if self.is_down {
            step = step.wrapping_neg();
        }
        let mut add = |reg, by: u64| {
            let old = vcpu.gpr(reg);
            vcpu.set_gpr(reg, io.address_width.merge(old, old.wrapping_add(by)));
        };
        add(index_register(io), step);
        if io.is_repeated {
            add(Gpr::Rcx, self.count.wrapping_neg());
        }
    }
}

fn index_register(io: &PioString) -> Gpr {
    match io.direction {
        PioDirection::In => Gpr::Rdi,
        PioDirection::Out => Gpr::Rsi,
    }
}
