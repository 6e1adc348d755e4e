//! Lifecycle of a VM: it ends and begins again, pauses and resumes.
//!
//! Anybody may order it to end; every vCPU parks at its next exit, and the last one to do so carries the order out. A pause goes the
//! same way, but the vCPUs keep what they are; with the last one the VM's clock stops. An order to end finds them there as well.

use crate::fabric::Cpus;
use crate::mailbox::{Mail, SavedMail};
use crate::vm_clock::VmClock;
use alloc::sync::Arc;
use chipset::LocalApic;
use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use emulate::Unsupported;
use spin::Mutex;
use time::Instant;
use vcpu::RawExit;
use vm_spec::After;

/// Why a VM stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The guest entered ACPI S5.
    PowerOff,
    /// The guest asked for a reset, by this door.
    Reset(&'static str),
    /// The guest wrote this to its exit port.
    ExitPort(u32),
    /// A vCPU shut down: triple fault.
    TripleFault,
    /// A vCPU could not take an event because its stack or tables are not in memory.
    UndeliverableEvent {
        /// Guest-physical address of the access.
        gpa: u64,
    },
    /// A device register was touched by an instruction that the emulator does not know.
    Unemulated {
        /// Guest-physical address of the access.
        gpa: u64,
        /// The instruction.
        insn: Unsupported,
    },
    /// An exit without a meaning.
    Unexpected(RawExit),
    /// The CPU refused the guest state: our bug.
    EntryRefused(&'static str),
    /// A vCPU cannot be in the state that was restored.
    BadSavedState {
        /// Reason for the rejection.
        why: &'static str,
    },
    /// The operator's order.
    Operator,
}

impl StopReason {
    /// Returns what follows, by the two settings of the VM's specification.
    pub fn then(self, on_reboot: After, on_crash: After) -> After {
        match self {
            Self::PowerOff | Self::ExitPort(_) | Self::Operator => After::Stop,
            Self::Reset(_) => on_reboot,
            Self::TripleFault
            | Self::UndeliverableEvent { .. }
            | Self::Unemulated { .. }
            | Self::Unexpected(_)
            | Self::EntryRefused(_) => on_crash,
            Self::BadSavedState { .. } => After::Stop,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => write!(f, "powered off by the guest"),
            Self::Reset(door) => write!(f, "reset by the guest ({door})"),
            Self::ExitPort(code) => write!(f, "ended by the guest's exit port, code {code}"),
            Self::TripleFault => write!(f, "triple fault"),
            Self::UndeliverableEvent { gpa } => {
                write!(
                    f,
                    "event delivery touches {gpa:#x}, where there is no memory"
                )
            }
            Self::Unemulated { gpa, insn } => {
                write!(
                    f,
                    "the emulator does not know {insn}, which touches a device at {gpa:#x}"
                )
            }
            Self::Unexpected(raw) => write!(
                f,
                "unexpected exit {} (code {:#x}, {:#x}, {:#x})",
                raw.name, raw.code, raw.info1, raw.info2
            ),
            Self::EntryRefused(why) => write!(f, "VM entry refused: {why}"),
            Self::BadSavedState { why } => write!(f, "the saved state cannot be run: {why}"),
            Self::Operator => write!(f, "stopped by the operator"),
        }
    }
}

/// State of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VmState {
    /// All vCPUs are parked; nothing runs.
    Stopped = 0,
    /// vCPUs run.
    Running = 1,
    /// Ordered to end; vCPUs are parking.
    Halting = 2,
    /// Memory and devices are brought into their start state.
    Starting = 3,
    /// Taken out of the world; its vCPUs leave their homes.
    Destroyed = 4,
    /// Ordered to pause; vCPUs come to hold still.
    Pausing = 5,
    /// All vCPUs hold still, and so does the VM's time.
    Paused = 6,
}

/// An order to end.
#[derive(Clone, Copy, Debug)]
pub struct StopOrder {
    /// Why.
    pub reason: StopReason,
    /// Action that follows.
    pub then: After,
}

/// The state of a VM's life, shared by its vCPUs, its devices and the operator.
pub struct Lifecycle {
    state: AtomicU8,
    orders: Mutex<Orders>,
    last: Mutex<Option<StopReason>>,
    active: AtomicU32,
    /// Number of times that guests were let run or the VM was claimed.
    run_epoch: AtomicU64,
    cpus: Arc<Cpus>,
    clock: Arc<VmClock>,
    on_reboot: After,
    on_crash: After,
}

/// Orders that are not carried out yet. Its lock is held until all mail about an order is sent.
#[derive(Default)]
struct Orders {
    end: Option<StopOrder>,
    /// A pause is to be over as soon as it has begun.
    resumes: bool,
    /// vCPUs that hold still.
    held: usize,
}

impl Lifecycle {
    /// A stopped VM, with what follows when its guest resets it and when it crashes.
    #[must_use]
    pub fn new(cpus: Arc<Cpus>, clock: Arc<VmClock>, on_reboot: After, on_crash: After) -> Self {
        Self {
            state: AtomicU8::new(VmState::Stopped as u8),
            orders: Mutex::default(),
            last: Mutex::new(None),
            active: AtomicU32::new(0),
            run_epoch: AtomicU64::new(0),
            cpus,
            clock,
            on_reboot,
            on_crash,
        }
    }

    /// Returns the state of the VM.
    pub fn state(&self) -> VmState {
        match self.state.load(Ordering::SeqCst) {
            1 => VmState::Running,
            2 => VmState::Halting,
            3 => VmState::Starting,
            4 => VmState::Destroyed,
            5 => VmState::Pausing,
            6 => VmState::Paused,
            _ => VmState::Stopped,
        }
    }

    /// A number that changes before a guest is let run and before its start is prepared: as long as it stays while the VM is paused or
    /// stopped, so do memory and devices.
    pub fn run_epoch(&self) -> u64 {
        self.run_epoch.load(Ordering::SeqCst)
    }

    /// Why it last stopped.
    pub fn last_stop(&self) -> Option<StopReason> {
        *self.last.lock()
    }

    /// Orders the VM to end; what follows is what its specification says. Ignored unless it runs. Returns whether this is the order that
    /// counts; see [`Lifecycle::order`].
    pub fn end(&self, reason: StopReason) -> bool {
        self.order(reason, reason.then(self.on_reboot, self.on_crash))
    }

    /// Orders the VM to end and says what follows. Returns whether that is what will happen.
    ///
    /// The first order counts; only the operator's replaces another one that is not carried out yet.
    pub fn order(&self, reason: StopReason, then: After) -> bool {
        // Held until all mail is sent: a vCPU that finds the VM halting has the order in its own
        // mail, and runs no guest any more.
        let mut orders = self.orders.lock();
        match self.state() {
            VmState::Running | VmState::Pausing | VmState::Paused => {
                orders.end = Some(StopOrder { reason, then });
                self.announce(VmState::Halting, Mail::HALT);
                true
            }
            VmState::Halting if reason == StopReason::Operator && orders.end.is_some() => {
                orders.end = Some(StopOrder { reason, then });
                true
            }
            VmState::Halting | VmState::Stopped | VmState::Starting | VmState::Destroyed => false,
        }
    }

    /// Takes a stopped VM to start it. Returns false when it is not stopped, or somebody else has taken it.
    pub fn try_begin_start(&self) -> bool {
        let is_ours = self.leave_stopped(VmState::Starting);
        if is_ours {
            // Whoever has claimed it writes to memory and devices from now on.
            self.run_epoch.fetch_add(1, Ordering::SeqCst);
        }
        is_ours
    }

    /// Takes a stopped VM for good. Returns false when it is not stopped, or somebody else has taken it.
    pub fn try_destroy(&self) -> bool {
        self.leave_stopped(VmState::Destroyed)
    }

    fn leave_stopped(&self, to: VmState) -> bool {
        let (from, to) = (VmState::Stopped as u8, to as u8);
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Notes that the VM is stopped: its order is carried out, or the start that was claimed has
    /// failed.
    pub fn set_stopped(&self) {
        self.state.store(VmState::Stopped as u8, Ordering::SeqCst);
    }

    /// Lets all vCPUs start. The caller has claimed the VM and put devices and memory into their start state.
    pub fn begin(&self) {
        // An order to end that comes now waits here. Sent before a vCPU's start, a parked vCPU would throw it away.
        let mut orders = self.orders.lock();
        let mailboxes = self.cpus.mailboxes();
        // All are parked and no device has anything to say after its reset, so nothing but leftovers is lost. Were it
        // thrown away by each vCPU when it starts, INIT and SIPI from one that started sooner would be lost too.
        for (id, mailbox) in mailboxes.iter().enumerate() {
            mailbox.clear(LocalApic::new(id as u32, id == 0).addressing());
        }
        self.active.store(mailboxes.len() as u32, Ordering::SeqCst);
        *orders = Orders::default();
        self.announce(VmState::Running, Mail::START);
    }

    /// Lets all vCPUs take what was restored for them, with this mail; the VM is paused when they have. As [`Lifecycle::begin`].
    pub fn begin_paused(&self, mail: &[SavedMail]) {
        let mut orders = self.orders.lock();
        let mailboxes = self.cpus.mailboxes();
        *orders = Orders::default();
        self.active.store(mailboxes.len() as u32, Ordering::SeqCst);
        self.state.store(VmState::Pausing as u8, Ordering::SeqCst);
        for (id, (mailbox, mail)) in mailboxes.iter().zip(mail).enumerate() {
            mailbox.clear(LocalApic::new(id as u32, id == 0).addressing());
            mailbox.restore(mail);
        }
    }

    /// Orders a running VM to pause. Returns whether it will be paused, or is.
    pub fn pause(&self) -> bool {
        let mut orders = self.orders.lock();
        match self.state() {
            VmState::Running => {
                (orders.resumes, orders.held) = (false, 0);
                self.announce(VmState::Pausing, Mail::PAUSE);
                true
            }
            VmState::Pausing => {
                orders.resumes = false;
                true
            }
            VmState::Paused => true,
            VmState::Stopped | VmState::Halting | VmState::Starting | VmState::Destroyed => false,
        }
    }

    /// One vCPU holds still at `now`; with the last one the VM is paused.
    pub fn quiesce(&self, now: Instant) {
        let mut orders = self.orders.lock();
        orders.held += 1;
        // An order to end may have come meanwhile.
        if self.state() == VmState::Pausing && orders.held == self.cpus.mailboxes().len() {
            self.clock.stop(now);
            self.state.store(VmState::Paused as u8, Ordering::SeqCst);
            if orders.resumes {
                self.resume_clock(now);
            }
        }
    }

    /// Lets a paused VM go on, or one that is about to pause. Returns whether it will.
    pub fn resume(&self, now: Instant) -> bool {
        let mut orders = self.orders.lock();
        match self.state() {
            VmState::Paused => {
                self.resume_clock(now);
                true
            }
            VmState::Pausing => {
                orders.resumes = true;
                true
            }
            VmState::Stopped
            | VmState::Running
            | VmState::Halting
            | VmState::Starting
            | VmState::Destroyed => false,
        }
    }

    fn resume_clock(&self, now: Instant) {
        self.clock.run(now);
        self.announce(VmState::Running, Mail::RESUME);
    }

    /// Changes the state and tells every vCPU. With the lock of the orders held.
    fn announce(&self, state: VmState, mail: Mail) {
        if state == VmState::Running {
            self.run_epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.state.store(state as u8, Ordering::SeqCst);
        for mailbox in self.cpus.mailboxes() {
            mailbox.send(mail);
        }
    }

    /// One vCPU parks; the last one gets the order to carry out, and says [`Lifecycle::set_stopped`] then.
    pub fn park(&self) -> Option<StopOrder> {
        if self.active.fetch_sub(1, Ordering::SeqCst) != 1 {
            return None;
        }
        let order = self.orders.lock().end.take();
        if let Some(order) = &order {
            *self.last.lock() = Some(order.reason);
        }
        order
    }
}
