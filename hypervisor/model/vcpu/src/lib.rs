//! Virtual CPU as the VMM sees it: a subroutine that returns exits, and a state that can be taken
//! and put back.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod exit;
mod hidden;
mod msr;
mod state;
#[cfg(feature = "test-vcpu")]
mod test_vcpu;

pub use exit::{
    Access, Cpuid, EntryRefused, Exit, Halt, Hypercall, InsnBytes, InsnLen, Pause, PioDirection,
    PioIn, PioOut, PioString, RawExit, ReadMsr, SlatFault, WriteMsr, Xsetbv,
};
pub use hidden::{BadState, HiddenState};
pub use msr::GuestMsr;
pub use state::{Activity, ArchState, Paging, Shadow};
#[cfg(feature = "test-vcpu")]
pub use test_vcpu::TestVcpu;

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use x86::{Fault, Gpr, Rflags, Segment, SegmentRegister, Vector};

/// Event that can be delivered to a guest through its IDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A maskable external interrupt.
    Interrupt(Vector),
    /// A non-maskable interrupt.
    Nmi,
    /// An exception.
    Exception(Fault),
}

/// The guest cannot take this event now: another one is queued, or it is masked or shadowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow;

/// The flags of RFLAGS that [`Vcpu::set_status_flags`] replaces: CF, PF, AF, ZF, SF, DF and OF.
pub const STATUS_FLAGS: u64 = Rflags::CARRY_FLAG
    .union(Rflags::PARITY_FLAG)
    .union(Rflags::AUXILIARY_CARRY_FLAG)
    .union(Rflags::ZERO_FLAG)
    .union(Rflags::SIGN_FLAG)
    .union(Rflags::DIRECTION_FLAG)
    .union(Rflags::OVERFLOW_FLAG)
    .bits();

/// The contract all backends fulfil.
///
/// Accesses to CR0, CR3, CR4, CR8 and the debug registers, cache-flush instructions and the vendor's own virtualization
/// instructions are mechanics of the vendor: the backend answers them itself and never lets them out.
pub trait Vcpu {
    /// A physical CPU with the vendor's extension on. Holding it proves we run there.
    type Cpu;

    /// Enters the guest; returns at the first exit that must be answered.
    ///
    /// An event whose delivery the exit cut short is queued again by the backend itself. Switching from another vCPU that ran
    /// on this CPU before (VMCS, vector state, MSRs) happens in here, lazily.
    fn run(&mut self, cpu: &mut Self::Cpu) -> Exit;

    /// Reads a general-purpose register.
    fn gpr(&self, reg: Gpr) -> u64;

    /// Writes all 64 bits of a general-purpose register.
    fn set_gpr(&mut self, reg: Gpr, value: u64);

    /// Where the next instruction lies, relative to CS.
    fn rip(&self) -> u64;

    /// RFLAGS.
    fn rflags(&self) -> u64;

    /// Replaces the [`STATUS_FLAGS`] by those of `rflags`; nothing else of RFLAGS changes.
    fn set_status_flags(&mut self, rflags: u64);

    /// One segment register.
    fn segment(&self, reg: SegmentRegister) -> Segment;

    /// Returns what walking the guest's page tables and decoding its code needs, and nothing more.
    fn paging(&self) -> Paging;

    /// Segments, control registers, MSRs, everything: out as one group.
    fn save(&self, state: &mut ArchState);

    /// Everything of `state` into the vCPU. A queued event and a requested window are dropped.
    fn load(&mut self, state: &ArchState);

    /// Gives x87, SSE, AVX… their state after reset, and XCR0 its 1.
    fn reset_vector_state(&mut self);

    /// x87, SSE, AVX… as an XSAVE area in the standard format, or an FXSAVE area where there is no XSAVE. (Intel SDM vol. 1 13.4)
    fn vector_image(&self) -> Vec<u8>;

    /// Replaces x87, SSE, AVX… by what [`Vcpu::vector_image`] gave, perhaps of another vCPU on a CPU like this one. Components that are
    /// not in `allowed`, a value of XCR0, get their initial state.
    ///
    /// # Errors
    /// [`BadState`] for what the CPU would not take; nothing has changed then.
    fn set_vector_image(&mut self, image: &[u8], allowed: u64) -> Result<(), BadState>;

    /// Returns the state that neither [`Vcpu::save`] nor [`Vcpu::vector_image`] tells.
    fn hidden(&self) -> HiddenState;

    /// Completes [`Vcpu::load`] with what [`Vcpu::hidden`] gave.
    ///
    /// # Errors
    /// [`BadState`] when it does not fit the state that was loaded.
    fn set_hidden(&mut self, hidden: &HiddenState) -> Result<(), BadState>;

    /// One of the MSRs that are part of the vCPU itself.
    fn msr(&self, msr: GuestMsr) -> u64;

    /// Replaces one of the MSRs that are part of the vCPU itself. The value has been checked against the CPU model;
    /// EFER.LMA is the backend's business.
    fn set_msr(&mut self, msr: GuestMsr, value: u64);

    /// XCR0 as the guest set it.
    fn xcr0(&self) -> u64;

    /// Replaces XCR0 with a value checked by the CPU model.
    fn set_xcr0(&mut self, value: u64);

    /// Sets the offset of the guest's TSC from the host's, modulo 2^64.
    fn set_tsc_offset(&mut self, offset: u64);

    /// CR8: the task priority class, 0 to 15.
    fn task_priority(&self) -> u8;

    /// Sets CR8 to the low four bits of `class`.
    fn set_task_priority(&mut self, class: u8);

    /// Completes the exiting instruction: RIP moves, STI/MOV SS shadow ends, RFLAGS.TF is honoured.
    fn retire(&mut self, len: InsnLen);

    /// Sets whether [`Exit::Pause`] is wanted: from a guest that executes PAUSE so often that it
    /// must be spinning. The backend recognises this by its CPU's pause filter, or by counting. Off
    /// at first.
    fn set_pause_exits(&mut self, is_wanted: bool);

    /// Drops what the CPU remembers of the guest's own page tables, before the next entry.
    fn flush_translations(&mut self);

    /// Queues an event for the next entry.
    ///
    /// # Errors
    /// [`NotNow`] when an event is queued already, for an interrupt while RFLAGS.IF is clear or a shadow lasts, for an NMI while
    /// another one is being handled. An exception is only refused while something is queued.
    fn inject(&mut self, event: Event) -> Result<(), NotNow>;

    /// Raises an exception at the instruction that exited, which does not retire.
    ///
    /// Returns false while an event is queued, which is not so after an exit that stands for an
    /// instruction: that event goes first then, and the guest meets the instruction again.
    fn raise(&mut self, fault: Fault) -> bool {
        self.inject(Event::Exception(fault)).is_ok()
    }

    /// Returns whether an event waits for the next entry.
    fn has_queued_event(&self) -> bool;

    /// Returns whether [`Vcpu::inject`] would take an interrupt now: nothing queued, RFLAGS.IF set,
    /// no shadow. CR8 is not looked at.
    fn accepts_interrupt(&self) -> bool;

    /// Asks for [`Exit::InterruptWindow`] as soon as the guest could take an interrupt of this vector's priority class:
    /// IF set, no shadow, CR8 below the class. Replaces an earlier request.
    fn await_interrupt_window(&mut self, vector: Vector);

    /// Asks for [`Exit::InterruptWindow`] as soon as the guest could take an NMI.
    fn await_nmi_window(&mut self);

    /// Takes back what `await_interrupt_window` asked.
    fn cancel_interrupt_window(&mut self);

    /// Vendor code and qualification of the last exit, for logs and for nothing else.
    fn raw_exit(&self) -> RawExit;

    /// Writes the whole vendor state in words: for an operator after [`Exit::EntryRefused`].
    ///
    /// # Errors
    /// Those of `out`.
    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}
