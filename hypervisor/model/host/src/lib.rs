//! Interface of the machine, as the VMM needs it.
//!
//! Implemented by the platform on metal; by a stand-in on a PC for the VMM's own tests.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod interrupts;
mod noted;
mod terminals;

pub use hardware::InterruptHandler;
pub use interrupts::{Interrupts, NoVector};
pub use noted::NotedName;
pub use terminals::{Terminal, Terminals};

use addr::{GpaRange, Hpa};
use core::fmt;
use guest_memory::GuestMemory;
use time::{Clock, Instant};
use vcpu::Vcpu;
use x86::{CpuidResult, Vector};

/// A physical CPU, numbered from 0 without gaps; 0 booted the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// A physical interrupt that was taken and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostVector {
    /// The alarm went off.
    Alarm,
    /// Another CPU wants attention.
    Kick,
    /// A device. Its handler has run.
    Device(Vector),
}

/// Not enough memory; nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Rights of a guest to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Read, write and execute: RAM.
    All,
    /// Read and execute: ROM.
    ReadExecute,
}

/// Second-level address translation of one VM: EPT or NPT.
pub trait Slat: Send + Sync {
    /// Maps `range` (4 KiB aligned on both sides) to host-physical memory from `to` on, in the largest pages that fit.
    ///
    /// # Errors
    /// [`NoMemory`] when a table could not be allocated.
    fn map(&mut self, range: GpaRange, to: Hpa, permissions: Permissions) -> Result<(), NoMemory>;

    /// Bytes its tables take.
    fn table_bytes(&self) -> u64;
}

/// Guest RAM in pieces of host-physical memory.
pub trait Backing {
    /// Calls `each` for every contiguous piece: where it lies for the guest and for the host.
    fn for_each_piece(&self, each: &mut dyn FnMut(GpaRange, Hpa));
}

/// Parts and settings a new vCPU is made from.
pub struct VcpuPlan<'a, S> {
    /// The VM's tables.
    pub slat: &'a S,
    /// Bits of CR4 that the CPU model offers; setting another one is #GP.
    pub cr4_allowed: u64,
    /// Components of XCR0 that the CPU model offers.
    pub xcr0_allowed: u64,
    /// Physical-address bits of the guest, its MAXPHYADDR.
    pub physical_bits: u8,
}

/// Memory the hypervisor holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// RAM of the machine that Caisson may use.
    pub total: u64,
    /// Of it, free.
    pub free: u64,
    /// Of it, guest RAM.
    pub guests: u64,
    /// Of it, files that guests start from, kept for their restarts.
    pub files: u64,
    /// Of it, the hypervisor's own.
    pub hypervisor: u64,
    /// Of the hypervisor's, its image: code, constants, statics.
    pub image: u64,
    /// Of the hypervisor's, the stacks of all CPUs.
    pub stacks: u64,
    /// Of the hypervisor's, its own page tables.
    pub tables: u64,
    /// Of the hypervisor's, the second-level page tables of guests.
    pub guest_tables: u64,
    /// Of the hypervisor's, its heap. The rest is what CPUs want for themselves: VMCBs, VMCSs, bitmaps.
    pub heap: u64,
    /// Of the heap, what is in use.
    pub heap_used: u64,
}

/// Way in which the machine is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Off, as far as the machine lets us; else halted.
    Off,
    /// Reset.
    Reset,
}

/// The machine.
pub trait Host: Interrupts + Terminals + Sync + 'static {
    /// A physical CPU with the vendor's extension on; never leaves it.
    type Cpu;
    /// The backend.
    type Vcpu: Vcpu<Cpu = Self::Cpu> + Send;
    /// Guest RAM.
    type Ram: GuestMemory + Backing + 'static;
    /// EPT or NPT.
    type Slat: Slat + 'static;

    /// Time since start. Cheap: a TSC read and a multiplication.
    fn now(&self) -> Instant;

    /// The TSC and how it relates to [`Instant`].
    fn clock(&self) -> &Clock;

    /// Seconds since 1970-01-01 UTC at [`Instant`] zero, from the machine's RTC.
    fn wall_clock_at_start(&self) -> u64;

    /// Which CPU this is.
    fn cpu_id(&self, cpu: &Self::Cpu) -> CpuId;

    /// Which CPU runs this code. Cheap: one load.
    fn this_cpu(&self) -> CpuId;

    /// Returns how many CPUs run.
    fn cpu_count(&self) -> u32;

    /// Asks for one [`HostVector::Alarm`] at `at` on this CPU, instead of an earlier request. Cheap when nothing changes.
    /// A time that has passed fires at once. An alarm may also come early; never late by design.
    fn set_alarm(&self, cpu: &mut Self::Cpu, at: Option<Instant>);

    /// Takes the next pending physical interrupt, acknowledged. This is where a device's handler is
    /// called, and the only place: see [`Interrupts`].
    fn next_interrupt(&self, cpu: &mut Self::Cpu) -> Option<HostVector>;

    /// Sleeps until a physical interrupt is pending. One that came before is not slept through.
    fn idle(&self, cpu: &mut Self::Cpu);

    /// Makes `target` leave guest mode or idle.
    fn kick(&self, target: CpuId);

    /// Allocates guest RAM for `ranges`, sorted and disjoint, each 4 KiB aligned; in large pieces where possible.
    ///
    /// It holds what its last owner left there, another VM perhaps: the caller clears it before any guest runs on it. That takes too
    /// long to be done in one go.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn allocate_ram(&self, ranges: &[GpaRange]) -> Result<Self::Ram, NoMemory>;

    /// An empty second-level table.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn new_slat(&self) -> Result<Self::Slat, NoMemory>;

    /// A vCPU in its reset state.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn new_vcpu(
        &self,
        cpu: &mut Self::Cpu,
        plan: &VcpuPlan<'_, Self::Slat>,
    ) -> Result<Self::Vcpu, NoMemory>;

    /// CPUID of the physical CPU.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> CpuidResult;

    /// Returns how much memory is held, and for which use.
    fn memory(&self) -> MemoryReport;

    /// Writes the last messages of the hypervisor, a line each.
    ///
    /// # Errors
    /// Those of `out`.
    fn log_tail(&self, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Notes what this CPU is about to do, for the epitaph of a panic.
    fn note(&self, cpu: &mut Self::Cpu, vm: &NotedName);

    /// Ends it all.
    fn power(&self, action: PowerAction) -> !;
}
