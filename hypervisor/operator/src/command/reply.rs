//! Replies to commands: what was found, done or refused, as data.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use serde::{Deserialize, Serialize};
use vm_spec::GuestConsole;
use vmm::{AssembleError, CreateError, VmState};

/// The reply to a [`Command`](super::Command).
///
/// Text is in it only where it is what was asked for: of a guest, of the log, of devices that
/// describe themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The VMs, in the order of their creation.
    Vms(Vec<VmSummary>),
    /// The machine.
    Host(HostReport),
    /// The devices of a VM.
    Devices(Vec<DeviceReport>),
    /// The description of a VM or a part of it, in lines, in its own words.
    Inspection(String),
    /// The last messages of the hypervisor, in lines.
    Log(String),
    /// The last lines that a VM has printed.
    Scrollback(String),
    /// The command was carried out, or is under way.
    Done(Done),
    /// The command was not carried out.
    Refused(Refused),
    /// The session is to show a page that changes, or that can be leafed through.
    Page(Page),
    /// The session is to give its terminal to a VM.
    Attach {
        /// The VM.
        name: String,
        /// Which of its consoles; the one that the session had last if absent.
        view: Option<GuestConsole>,
    },
}

/// A VM in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSummary {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// The number of its vCPUs.
    pub cpus: u32,
    /// Its RAM, in bytes.
    pub memory_bytes: u64,
    /// Its exits since it was made.
    pub exits: u64,
}

/// The state of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing runs.
    Stopped,
    /// Its vCPUs run.
    Running,
    /// It was ordered to end.
    Ending,
    /// It is brought into its start state.
    Starting,
    /// It was ordered to pause.
    Pausing,
    /// Its vCPUs and its time stand still.
    Paused,
    /// It was destroyed.
    Gone,
}

impl From<VmState> for State {
    fn from(state: VmState) -> Self {
        match state {
            VmState::Stopped => Self::Stopped,
            VmState::Running => Self::Running,
            VmState::Halting => Self::Ending,
            VmState::Starting => Self::Starting,
            VmState::Pausing => Self::Pausing,
            VmState::Paused => Self::Paused,
            VmState::Destroyed => Self::Gone,
        }
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The number of its CPUs.
    pub cpus: u32,
    /// The frequency of its TSC, in kHz.
    pub tsc_khz: u64,
    /// Time since start, in ns.
    pub up_ns: u64,
    /// Its memory.
    pub memory: MemoryUse,
}

/// The machine's memory, in bytes: see [`host::MemoryReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the field of that name there")]
pub struct MemoryUse {
    pub total: u64,
    pub free: u64,
    pub guests: u64,
    pub files: u64,
    pub hypervisor: u64,
    pub image: u64,
    pub stacks: u64,
    pub tables: u64,
    pub guest_tables: u64,
    pub heap: u64,
    pub heap_used: u64,
}

impl From<host::MemoryReport> for MemoryUse {
    fn from(report: host::MemoryReport) -> Self {
        let host::MemoryReport {
            total,
            free,
            guests,
            files,
            hypervisor,
            image,
            stacks,
            tables,
            guest_tables,
            heap,
            heap_used,
        } = report;
        Self {
            total,
            free,
            guests,
            files,
            hypervisor,
            image,
            stacks,
            tables,
            guest_tables,
            heap,
            heap_used,
        }
    }
}

/// A device of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// Its own interrupt lines.
    pub lines: Vec<u8>,
    /// Its ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Its addresses in guest-physical memory.
    pub memory: Vec<RangeInclusive<u64>>,
}

/// An act that was done, or is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`name` is that of the VM")]
pub enum Done {
    /// The VM exists and can be started.
    Created { name: String },
    /// The VM `new` exists; the memory of `name` is being copied to it.
    Copying { name: String, new: String },
    /// The VM was destroyed.
    Destroyed { name: String },
    /// The VM starts.
    Starting { name: String },
    /// The VM starts again from its reset.
    Restarting { name: String },
    /// The power button was pressed; the VM is stopped hard in `after_ns`.
    Stopping { name: String, after_ns: u64 },
    /// The VM stops at once, as its system does not listen to a power button.
    StoppingUnheard { name: String },
    /// The VM stops at once.
    Killing { name: String },
    /// The power button was pressed; its system listens to it if `is_heeded`.
    ButtonPressed { name: String, is_heeded: bool },
    /// The VM pauses.
    Pausing { name: String },
    /// The VM goes on.
    Resumed { name: String },
    /// Each vCPU of the VM has this weight.
    Weight { name: String, weight: u32 },
    /// The VM may use so many percent of one CPU, or what it likes.
    Cap { name: String, percent: Option<u32> },
    /// The machine is being reset.
    Resetting,
    /// The machine is being switched off.
    PoweringOff,
}

/// The reason why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`name` is that of the VM")]
pub enum Refused {
    /// There is no such VM.
    NoVm { name: String },
    /// Only a stopped VM can be started.
    NotStopped { name: String },
    /// Only a stopped VM can be destroyed.
    NotDestroyed { name: String },
    /// The VM does not run.
    NotRunning { name: String },
    /// The VM is not paused.
    NotPaused { name: String },
    /// The VM is paused already.
    PausedAlready { name: String },
    /// The VM runs already.
    RunningAlready { name: String },
    /// A weight is from `min` to `max`.
    BadWeight { min: u32, max: u32 },
    /// The VM has no such part; it has `parts`.
    NoPart {
        name: String,
        part: String,
        parts: Vec<String>,
    },
    /// The VM was not created.
    NotCreated(NotCreated),
}

/// The reason why a VM was not created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`name` is the one that was given")]
pub enum NotCreated {
    /// The configuration has no such VM or template.
    NoSpec { name: String },
    /// A VM cannot be called that.
    BadName { name: String },
    /// There is such a VM.
    Taken { name: String },
    /// There is no such VM to copy.
    NoOriginal { name: String },
    /// Only a paused VM can be copied.
    OriginalRuns,
    /// There is not so much memory.
    NoMemory { wanted_bytes: u64, free_bytes: u64 },
    /// The configuration, a file or the machine is in the way, in the words of whoever found out.
    Other { reason: String },
}

impl From<CreateError> for NotCreated {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::NoSpec(name) => Self::NoSpec { name },
            CreateError::BadName(name) => Self::BadName { name },
            CreateError::Taken(name) => Self::Taken { name },
            CreateError::NoVm(name) => Self::NoOriginal { name },
            CreateError::NotPaused => Self::OriginalRuns,
            CreateError::Assemble(AssembleError::NoMemory {
                wanted_bytes,
                free_bytes,
            }) => Self::NoMemory {
                wanted_bytes,
                free_bytes,
            },
            CreateError::Assemble(error) => Self::Other {
                reason: alloc::format!("{error}"),
            },
        }
    }
}

/// A page that fills a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Page {
    /// All VMs and CPUs.
    Top,
    /// Exits per second by reason, of one VM or of all.
    Exits {
        /// The VM.
        name: Option<String>,
    },
    /// The output of a VM's serial port.
    Scrollback {
        /// The VM.
        name: String,
    },
}
