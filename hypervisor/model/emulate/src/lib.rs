//! Executes the one instruction that touched a device.
//!
//! A guest reaches a device in memory by an ordinary instruction. The CPU stops with the guest-physical address and no more;
//! [`execute`] fetches the instruction, decodes it, does it against registers, RAM and a [`Bus`], and moves on or raises the
//! guest's exception. [`pio_string`] does INS and OUTS, a chunk at a time.
//!
//! Follows Intel SDM vol. 2. What guests use on devices is supported: moves, exchange, arithmetic and logic on a memory
//! operand, bit tests, PUSH and POP, strings. Vector registers are not: the hypervisor never holds them.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod access;
mod alu;
mod decode;
mod instruction;
mod operand;
mod pio;
mod string;

pub use decode::warm_up;
pub use pio::{PortBus, pio_string};

use access::Machine;
use addr::Gpa;
use core::fmt;
use guest_memory::GuestMemory;
use vcpu::{Access, InsnBytes, InsnLen, SlatFault, Vcpu};
use x86::{Fault, Width};

/// Where device accesses go.
///
/// A width is what one PC bus cycle could carry: aligned, up to a quadword. Accesses that are not aligned come as bytes.
pub trait Bus {
    /// Reads a device; bits above `width` are ignored.
    fn read(&mut self, gpa: Gpa, width: Width) -> u64;

    /// Writes a device; `value` is cut to `width`.
    fn write(&mut self, gpa: Gpa, width: Width, value: u64);
}

/// Outcome of an instruction.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; RIP has moved on.
    Retired,
    /// It raised an exception, which is queued.
    Faulted,
    /// A part of a repeated string is done and the registers say so; the guest meets the instruction again.
    Again,
    /// Nothing was done. The VM cannot go on.
    Unsupported(Unsupported),
}

/// An instruction that cannot be executed here; its `Display` gives its bytes for the operator. Its name would take the
/// decoder's whole list of names into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Its bytes and what follows them; none when they could not be fetched from RAM.
    pub bytes: InsnBytes,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes.count == 0 {
            return f.write_str("an instruction outside RAM");
        }
        f.write_str("the instruction ")?;
        for (number, byte) in self
            .bytes
            .bytes
            .iter()
            .take(usize::from(self.bytes.count))
            .enumerate()
        {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Why an instruction stopped short.
enum Stop {
    Fault(Fault),
    Unsupported,
}

/// Progress of an instruction.
enum Done {
    Retire,
    Again,
}

/// Executes the instruction at CS:RIP, whose access `fault` the SLAT did not allow.
///
/// The page of `fault.gpa` belongs to `bus`. Other memory the instruction touches is RAM where `memory` says so and else belongs
/// to the bus too. `memory` must also hold the ROM that the guest executes from. A repeated string stops after a few hundred
/// iterations with [`Outcome::Again`].
pub fn execute<V: Vcpu, M: GuestMemory, B: Bus>(
    vcpu: &mut V,
    memory: &M,
    fault: &SlatFault,
    bus: &mut B,
) -> Outcome {
    let paging = vcpu.paging();
    let mut bytes = fault.insn;
    let is_foreign = fault.is_table_walk || fault.is_delivery || fault.access == Access::Execute;
    let decoded = if is_foreign {
        Err(Stop::Unsupported)
    } else {
        decode::decode(memory, &paging, &mut bytes)
    };
    let done = decoded.and_then(|insn| {
        let len = InsnLen::new(insn.len() as u8).ok_or(Stop::Unsupported)?;
        let mut machine = Machine::new(vcpu, memory, bus, paging, fault);
        Ok((machine.step(&insn)?, len))
    });
    match done {
        Ok((Done::Retire, len)) => {
            vcpu.retire(len);
            Outcome::Retired
        }
        Ok((Done::Again, _)) => Outcome::Again,
        Err(Stop::Fault(fault)) => raise(vcpu, fault),
        Err(Stop::Unsupported) => Outcome::Unsupported(Unsupported { bytes }),
    }
}

fn raise(vcpu: &mut impl Vcpu, fault: Fault) -> Outcome {
    if vcpu.raise(fault) {
        Outcome::Faulted
    } else {
        Outcome::Again
    }
}

#[cfg(test)]
mod tests;
