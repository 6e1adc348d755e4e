//! One virtual machine: memory, buses, devices, and what its vCPUs share.

pub(crate) mod assemble;
pub(crate) mod control;
pub(crate) mod kernel;
pub(crate) mod launch;
pub(crate) mod memory;

use crate::saved::SavedVcpu;
use crate::vcpu::stats::Stats;
use crate::vm::kernel::Image;
use crate::vm::memory::RamWork;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Board, Cpus, Fabric, Lifecycle, VmClock, VmState};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use cpu_model::CpuModel;
use device::Page;
use guest_boot::MemoryLayout;
use host::{Host, NotedName};
use sched::Share;
use spin::Mutex;
use time::{Deadline, Instant};
use vcpu::ArchState;
use vm_spec::VmSpec;

/// Messages that a guest can cause, per second.
const MESSAGES_PER_SECOND: u32 = 10;

/// A virtual machine.
pub struct Vm<H: Host> {
    pub(crate) host: &'static H,
    pub(crate) id: usize,
    pub(crate) noted: NotedName,
    pub(crate) spec: VmSpec,
    pub(crate) layout: MemoryLayout,
    pub(crate) image: Image,
    pub(crate) ram: Arc<H::Ram>,
    pub(crate) ram_work: RamWork,
    pub(crate) slat: H::Slat,
    pub(crate) model: CpuModel,
    pub(crate) board: Board,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) share: Arc<Share>,
    /// The state of each vCPU as of the last pause, or to be restored. Leaf locks; their vCPU takes them only when it holds still.
    pub(crate) held: Vec<Mutex<Option<Box<SavedVcpu>>>>,
    pub(crate) start: Mutex<ArchState>,
    pub(crate) started_tsc: AtomicU64,
    pub(crate) started_ns: AtomicU64,
    pub(crate) arrived: AtomicU32,
    /// A vCPU found no memory: the VM never starts.
    pub(crate) is_incomplete: AtomicBool,
    /// True if it starts as soon as its vCPUs are there.
    pub(crate) starts_by_itself: bool,
    /// True if it stays stopped unless the operator starts it.
    pub(crate) is_done: AtomicBool,
    /// When it starts again by itself.
    pub(crate) restart_at: Deadline,
    /// When it is stopped, whatever its guest thinks of that.
    pub(crate) stops_hard_at: Deadline,
    pub(crate) messages: Messages,
    /// The log has the state of a vCPU that could not go on, since the operator started the VM.
    pub(crate) is_described: AtomicBool,
}

/// Keeps a guest from flooding the log.
#[derive(Default)]
pub(crate) struct Messages {
    second: AtomicU64,
    count: AtomicU32,
}

impl Messages {
    fn take(&self, now: Instant) -> bool {
        let second = now.as_ns() / 1_000_000_000;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < MESSAGES_PER_SECOND
    }
}

/// A log message that a guest can cause: with the VM's name, and not more often than the log stands.
macro_rules! guest_warn {
    ($vm:expr, $($arg:tt)*) => {
        if $vm.may_log() {
            log::warn!("vm {}: {}", $vm.name(), format_args!($($arg)*));
        }
    };
}
pub(crate) use guest_warn;

impl<H: Host> Vm<H> {
    /// Its number: counts up from 0 with each VM that is made, and is never another VM's.
    #[must_use]
    pub fn id(&self) -> usize {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &VmSpec {
        &self.spec
    }

    /// Its board.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Its RAM.
    #[must_use]
    pub fn ram(&self) -> &H::Ram {
        &self.ram
    }

    pub(crate) fn slat(&self) -> &H::Slat {
        &self.slat
    }

    pub(crate) fn model(&self) -> &CpuModel {
        &self.model
    }

    pub(crate) fn fabric(&self) -> &Fabric {
        self.board.fabric()
    }

    pub(crate) fn cpus(&self) -> &Cpus {
        self.board.fabric().cpus()
    }

    /// Its life.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        self.board.lifecycle()
    }

    /// Counters of its vCPUs, by their numbers.
    #[must_use]
    pub fn stats(&self) -> &[Arc<Stats>] {
        &self.stats
    }

    /// Changes the weight of each of its vCPUs where others want the same CPU, from their next turns on: 1 to
    /// [`vm_spec::MAX_WEIGHT`]; what lies outside becomes the nearest.
    pub fn set_weight(&self, weight: u32) {
        self.share.set_weight(weight);
    }

    /// The weight of each of its vCPUs.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.share.weight()
    }

    /// Changes what all its vCPUs together may use at most, in percent of one CPU, from their next turns on.
    pub fn set_cap(&self, percent: Option<u32>) {
        self.share.set_cap(percent);
    }

    /// Returns the most that all its vCPUs together may use, in percent of one CPU.
    #[must_use]
    pub fn cap(&self) -> Option<u32> {
        self.share.cap()
    }

    /// Its own clock.
    pub(crate) fn clock(&self) -> &VmClock {
        self.board.clock()
    }

    /// Its time, which stands still while it is paused.
    pub(crate) fn now(&self) -> Instant {
        self.clock().now(self.host.now())
    }

    pub(crate) fn start_state(&self) -> ArchState {
        self.start.lock().clone()
    }

    /// Returns its TSC minus the host's; its TSC was zero when the VM started.
    pub(crate) fn tsc_offset(&self) -> u64 {
        self.started_tsc.load(Ordering::Relaxed).wrapping_neg()
    }

    /// When it started, in its own time.
    pub(crate) fn started(&self) -> Instant {
        Instant::from_ns(self.started_ns.load(Ordering::Relaxed))
    }

    /// When it would have started by the host's time, had it never been paused.
    pub(crate) fn started_host(&self) -> Instant {
        self.clock().to_host(self.started())
    }

    pub(crate) fn may_log(&self) -> bool {
        self.messages.take(self.host.now())
    }

    /// Logs once that there is no device at `port`, unless the guest has tried too many ports.
    #[inline]
    pub(crate) fn report_empty_port(&self, port: u16) {
        if self.board.empty_ports().is_news(port) && self.may_log() {
            log::debug!("vm {}: no device at port {port:#06x}", self.name());
        }
    }

    /// The earliest deadline of its devices, or of its restart, by the host's time. The devices of a VM that is stopped or paused
    /// stand still.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self.lifecycle().state() {
            VmState::Stopped if !self.is_complete() => None,
            VmState::Stopped if !self.ram_work.is_done() => Some(Instant::default()),
            VmState::Stopped => self.restart_at.get(),
            VmState::Destroyed | VmState::Paused => None,
            VmState::Running | VmState::Halting | VmState::Starting | VmState::Pausing => {
                let devices = self.board.slots().iter().filter_map(|slot| slot.due());
                devices.min().map(|at| self.clock().to_host(at))
            }
        }
    }

    /// Where a vCPU is, what it waits for and what it did. Returns false when there is none of that number.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn inspect_vcpu(&self, id: usize, out: &mut dyn Write) -> Result<bool, core::fmt::Error> {
        let (Some(stats), Some(mailbox)) = (self.stats.get(id), self.cpus().mailboxes().get(id))
        else {
            return Ok(false);
        };
        let (rip, cr3, rflags) = stats.place();
        let [code, info1, info2] = stats.last_exit();
        let home = mailbox.bell().cpu();
        writeln!(
            out,
            "  vCPU {id} on {home}: rip {rip:#x} cr3 {cr3:#x} rflags {rflags:#x}, last exit {code:#x} ({info1:#x}, {info2:#x})"
        )?;
        writeln!(out, "    on its CPU for {} ms", stats.run_ns() / 1_000_000)?;
        let waiting = stats.waiting();
        write!(
            out,
            "    interrupt requested {:#04x}, in service {:#04x}, timer ",
            waiting.requested, waiting.in_service
        )?;
        match waiting.deadline_ns {
            u64::MAX => writeln!(out, "off")?,
            ns => {
                let now = self.now().as_ns();
                writeln!(out, "in {} us", (ns as i64).wrapping_sub(now as i64) / 1000)?;
            }
        }
        for (name, count) in crate::vcpu::stats::KIND_NAMES.iter().zip(stats.exits()) {
            if count != 0 {
                writeln!(out, "    {name:<18}{count:>12}")?;
            }
        }
        Ok(true)
    }

    /// Everything an operator wants to know of it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn inspect(&self, out: &mut dyn Write) -> core::fmt::Result {
        writeln!(
            out,
            "vm {}: {:?}, vCPUs: {}, {} MiB, {} KiB of second-level tables",
            self.name(),
            self.lifecycle().state(),
            self.spec.cpus,
            self.spec.memory_bytes >> 20,
            host::Slat::table_bytes(&self.slat) >> 10,
        )?;
        write!(out, "  weight {}", self.weight())?;
        match self.cap() {
            Some(percent) => writeln!(out, ", cap {percent} % of one CPU")?,
            None => writeln!(out, ", no cap")?,
        }
        if let Some(reason) = self.lifecycle().last_stop() {
            writeln!(out, "  last stop: {reason}")?;
        }
        for id in 0..self.stats.len() {
            self.inspect_vcpu(id, out)?;
        }
        for slot in self.board.slots() {
            writeln!(out, "  {}", slot.name())?;
            slot.inspect(&mut Page::new(out));
        }
        Ok(())
    }
}
