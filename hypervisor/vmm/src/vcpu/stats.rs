//! Statistics of a vCPU, counted by itself and read by any CPU.

use core::sync::atomic::{AtomicU64, Ordering};
use vcpu::{Exit, RawExit};

/// Kinds of exits, as the operator knows them; the order of [`KIND_NAMES`].
fn kind(exit: &Exit) -> usize {
    match exit {
        Exit::PioIn(_) => 0,
        Exit::PioOut(_) => 1,
        Exit::PioString(_) => 2,
        Exit::SlatFault(_) => 3,
        Exit::Cpuid(_) => 4,
        Exit::ReadMsr(_) => 5,
        Exit::WriteMsr(_) => 6,
        Exit::Xsetbv(_) => 7,
        Exit::Hypercall(_) => 8,
        Exit::Halt(_) => 9,
        Exit::Pause(_) => 10,
        Exit::HostInterrupt => 11,
        Exit::InterruptWindow => 12,
        Exit::Shutdown => 13,
        Exit::EntryRefused(_) => 14,
        Exit::Unexpected(_) => 15,
    }
}

/// Names of the kinds of exits.
pub const KIND_NAMES: [&str; 16] = [
    "in",
    "out",
    "string i/o",
    "slat fault",
    "cpuid",
    "rdmsr",
    "wrmsr",
    "xsetbv",
    "hypercall",
    "hlt",
    "pause",
    "host interrupt",
    "interrupt window",
    "shutdown",
    "entry refused",
    "unexpected",
];

/// Counters of one vCPU. Only their owner writes, so no instruction locks the bus.
#[derive(Default)]
pub struct Stats {
    exits: [AtomicU64; KIND_NAMES.len()],
    rip: AtomicU64,
    cr3: AtomicU64,
    rflags: AtomicU64,
    code: AtomicU64,
    info1: AtomicU64,
    info2: AtomicU64,
    requested: AtomicU64,
    in_service: AtomicU64,
    deadline_ns: AtomicU64,
    run_ns: AtomicU64,
}

/// Interrupts and timer deadline that a vCPU waits for, as its local APIC has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The highest vector requested; 0 when there is none.
    pub(crate) requested: u8,
    /// The highest vector in service; 0 when there is none.
    pub(crate) in_service: u8,
    /// When its timer fires; `u64::MAX` when it does not.
    pub(crate) deadline_ns: u64,
}

impl Stats {
    /// Counts one exit. The owner only.
    #[inline]
    pub(crate) fn count(&self, exit: &Exit) {
        if let Some(counter) = self.exits.get(kind(exit)) {
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Counts time on its CPU, up to the end of a turn. The owner's home only.
    pub(crate) fn add_run_ns(&self, ns: u64) {
        let run_ns = self.run_ns.load(Ordering::Relaxed).saturating_add(ns);
        self.run_ns.store(run_ns, Ordering::Relaxed);
    }

    /// Returns how long it was on its CPU in all, guest and exits, in ns; updated at least ten
    /// times a second while it is.
    #[must_use]
    pub fn run_ns(&self) -> u64 {
        self.run_ns.load(Ordering::Relaxed)
    }

    /// Notes where the vCPU is, whenever it goes back to the loop. The owner only.
    pub(crate) fn note(&self, rip: u64, cr3: u64, rflags: u64, raw: RawExit) {
        self.rip.store(rip, Ordering::Relaxed);
        self.cr3.store(cr3, Ordering::Relaxed);
        self.rflags.store(rflags, Ordering::Relaxed);
        self.code.store(raw.code, Ordering::Relaxed);
        self.info1.store(raw.info1, Ordering::Relaxed);
        self.info2.store(raw.info2, Ordering::Relaxed);
    }

    /// Notes what it waits for, likewise. The owner only.
    pub(crate) fn note_waiting(&self, waiting: Waiting) {
        self.requested
            .store(waiting.requested.into(), Ordering::Relaxed);
        self.in_service
            .store(waiting.in_service.into(), Ordering::Relaxed);
        self.deadline_ns
            .store(waiting.deadline_ns, Ordering::Relaxed);
    }

    /// Returns what it waited for when it was last back in the loop.
    #[must_use]
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            requested: self.requested.load(Ordering::Relaxed) as u8,
            in_service: self.in_service.load(Ordering::Relaxed) as u8,
            deadline_ns: self.deadline_ns.load(Ordering::Relaxed),
        }
    }

    /// Returns the number of exits of each kind, in the order of [`KIND_NAMES`].
    #[must_use]
    pub fn exits(&self) -> [u64; KIND_NAMES.len()] {
        self.exits
            .each_ref()
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Returns the number of exits in all.
    #[must_use]
    pub fn total_exits(&self) -> u64 {
        self.exits().iter().sum()
    }

    /// RIP, CR3 and RFLAGS when the vCPU was last back in the loop.
    #[must_use]
    pub(crate) fn place(&self) -> (u64, u64, u64) {
        (
            self.rip.load(Ordering::Relaxed),
            self.cr3.load(Ordering::Relaxed),
            self.rflags.load(Ordering::Relaxed),
        )
    }

    /// Code and two words of information of the exit that brought it there.
    #[must_use]
    pub(crate) fn last_exit(&self) -> [u64; 3] {
        [
            self.code.load(Ordering::Relaxed),
            self.info1.load(Ordering::Relaxed),
            self.info2.load(Ordering::Relaxed),
        ]
    }
}
