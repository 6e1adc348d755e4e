//! Start of a VM, by the operator or by its home, and what follows when it ends.

use crate::vm::Vm;
use alloc::string::String;
use board::{StopOrder, StopReason, VmState};
use core::sync::atomic::Ordering;
use guest_memory::{GuestMemory, Unbacked};
use host::Host;
use time::Instant;
use vm_spec::After;

/// Time between two starts by themselves. A start copies the whole kernel; a guest that resets in a loop must not spend other
/// guests' time with that.
const RESTART_NS: u64 = 1_000_000_000;

impl<H: Host> Vm<H> {
    /// Returns whether it can be started: all vCPUs are there and its RAM is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_complete() && self.ram_work.is_done()
    }

    /// Returns whether all vCPUs are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.arrived.load(Ordering::SeqCst) == self.spec.cpus
    }

    /// Advances the devices whose time has come, or starts the VM again.
    pub(crate) fn advance_due(&self, now: Instant) {
        if self.is_complete() && !self.ram_work.is_done() {
            self.work_on_ram();
        }
        if self.restart_at.get().is_some_and(|at| at <= now)
            && self.is_ready()
            && self.lifecycle().try_begin_start()
        {
            // The operator may have taken the restart back meanwhile.
            if self.restart_at.take().is_some() {
                self.launch();
            } else {
                self.lifecycle().set_stopped();
            }
        }
        if matches!(
            self.lifecycle().state(),
            VmState::Stopped | VmState::Destroyed | VmState::Paused
        ) {
            return;
        }
        let now = self.clock().now(now);
        for slot in self.board.slots() {
            if slot.due().is_some_and(|at| at <= now) {
                slot.advance();
            }
        }
    }

    /// A vCPU has its place on its home CPU; with the last one the VM may start.
    pub(crate) fn vcpu_arrived(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        if self.is_complete() {
            if self.starts_by_itself {
                self.start();
            }
            // Its RAM is to be cleared, and a start that was ordered before is due then.
            self.board.home().ring();
        }
    }

    /// There is no memory for a vCPU.
    pub(crate) fn vcpu_failed(&self) {
        self.is_incomplete.store(true, Ordering::SeqCst);
        self.restart_at.set(None);
        self.is_done.store(true, Ordering::SeqCst);
    }

    /// Returns whether it is stopped and will not start again by itself.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lifecycle().state() == VmState::Stopped && self.is_done.load(Ordering::SeqCst)
    }

    /// Starts a stopped VM: at once, or as soon as it is ready when it was only just created. Returns whether it does.
    pub fn start(&self) -> bool {
        if self.is_incomplete.load(Ordering::SeqCst) {
            return false;
        }
        if !self.is_ready() {
            // At its home, as soon as it is: see `advance_due`.
            if self.lifecycle().state() != VmState::Stopped {
                return false;
            }
            self.is_done.store(false, Ordering::SeqCst);
            self.restart_at.set(Some(Instant::default()));
            self.board.home().ring();
            return true;
        }
        if !self.lifecycle().try_begin_start() {
            return false;
        }
        self.restart_at.set(None);
        self.is_described.store(false, Ordering::Relaxed);
        self.launch()
    }

    /// Takes a stopped VM out of the world: it never starts again. Returns false when it is not stopped.
    pub(crate) fn try_destroy(&self) -> bool {
        self.restart_at.set(None);
        self.lifecycle().try_destroy()
    }

    /// Orders the VM to end, by the operator. Returns whether it will.
    pub fn end(&self, then: After) -> bool {
        if self.lifecycle().order(StopReason::Operator, then) {
            return true;
        }
        // Between two lives?
        let waits = self.restart_at.get().is_some();
        match then {
            After::Restart => waits,
            After::Stop => {
                waits && {
                    self.is_done.store(true, Ordering::SeqCst);
                    self.restart_at.take().is_some()
                }
            }
        }
    }

    /// Starts a VM that was claimed. Returns whether it does.
    fn launch(&self) -> bool {
        match self.prepare() {
            Ok(()) => {
                log::info!(
                    "vm {}: starts, {} vCPU{}, {} MiB",
                    self.name(),
                    self.spec.cpus,
                    if self.spec.cpus == 1 { "" } else { "s" },
                    self.spec.memory_bytes >> 20
                );
                self.is_done.store(false, Ordering::SeqCst);
                self.stops_hard_at.set(None);
                self.lifecycle().begin();
                true
            }
            Err(why) => {
                log::error!("vm {}: {why}", self.name());
                self.is_done.store(true, Ordering::SeqCst);
                self.lifecycle().set_stopped();
                false
            }
        }
    }

    /// Puts memory and devices into their start state.
    fn prepare(&self) -> Result<(), String> {
        let unbacked = |_: Unbacked| String::from("the boot plan does not fit its memory");
        let tables = guest_acpi::build(&guest_acpi::AcpiPlan {
            vcpus: self.spec.cpus,
            tables: guest_boot::TABLES,
            ecam: guest_boot::ECAM,
            pci_window: guest_boot::PCI_WINDOW,
            has_keyboard_controller: true,
        })
        .map_err(|error| alloc::format!("{error}"))?;
        let modules = self.image.modules(&self.spec);
        let vendor = self.model.vendor();
        let boot = self.image.boot(&self.spec, &modules, tables.rsdp, vendor);
        let plan = guest_boot::plan(&boot, &self.layout)
            .map_err(|error| crate::vm::kernel::problem(&self.spec, &error))?;
        self.ram.write(tables.at, &tables.bytes).map_err(unbacked)?;
        guest_boot::clear_screen(&*self.ram).map_err(unbacked)?;
        plan.apply(&*self.ram).map_err(unbacked)?;
        *self.start.lock() = plan.start;
        self.clock().restart();
        let now = self.host.now();
        self.started_ns.store(now.as_ns(), Ordering::Relaxed);
        self.started_tsc
            .store(self.host.clock().tsc(now), Ordering::Relaxed);
        for slot in self.board.slots() {
            slot.reset();
        }
        // BARs are switched off again.
        self.board.settle();
        self.board.forget_typed();
        Ok(())
    }

    /// Carries out an order to end; all vCPUs are parked.
    pub(crate) fn conclude(&self, order: StopOrder) {
        self.board.end_lines();
        // A guest that answers the power button with a reset was to stop all the same.
        let was_to_stop = self.stops_hard_at.take().is_some();
        let is_operators = order.reason == StopReason::Operator;
        let then = if was_to_stop && !is_operators {
            After::Stop
        } else {
            order.then
        };
        match then {
            After::Restart => {
                log::info!("vm {}: {}; restarts", self.name(), order.reason);
                // At its home, when it is due: see `advance_due`. When it started is the VM's word, and may be a saved state's.
                let now = self.host.now();
                let due = self.started().after_ns(RESTART_NS);
                let at = due.clamp(now, now.after_ns(RESTART_NS));
                self.restart_at.set(Some(at));
            }
            After::Stop => {
                if matches!(
                    order.reason,
                    StopReason::PowerOff | StopReason::ExitPort(_) | StopReason::Operator
                ) {
                    log::info!("vm {}: stopped: {}", self.name(), order.reason);
                } else {
                    log::error!("vm {}: stopped: {}", self.name(), order.reason);
                }
                self.is_done.store(true, Ordering::SeqCst);
            }
        }
        self.lifecycle().set_stopped();
        self.board.home().ring();
    }
}
