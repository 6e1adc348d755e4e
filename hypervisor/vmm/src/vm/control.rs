//! Orders of the operator to a VM.

use crate::vm::Vm;
use board::VmState;
use host::Host;
use time::Instant;
use vm_spec::After;

impl<H: Host> Vm<H> {
    /// Pauses it: no vCPU runs and its time stands still, all its clocks with it. Returns false when it does not run.
    ///
    /// It is [`VmState::Paused`] when each vCPU has come out of the guest. A second pause changes nothing.
    pub fn pause(&self) -> bool {
        self.lifecycle().pause()
    }

    /// Lets it go on after a pause. Returns false when it is not paused.
    pub fn resume(&self) -> bool {
        self.lifecycle().resume(self.host.now())
    }

    /// Stops it at once, paused or not. Returns false when it neither runs nor waits for a restart.
    pub fn kill(&self) -> bool {
        self.end(After::Stop)
    }

    /// Resets it, paused or not; starts it when it is stopped. Returns false when it can do neither.
    pub fn reset(&self) -> bool {
        self.end(After::Restart) || self.start()
    }

    /// Presses its power button, and stops it hard `after_ns` later if it still runs then. A paused VM goes on for that.
    ///
    /// Returns false when it neither runs nor waits for a restart. Whatever the guest does instead of switching off, it stays stopped.
    pub fn stop_gently(&self, after_ns: u64) -> bool {
        match self.lifecycle().state() {
            VmState::Running | VmState::Pausing | VmState::Paused => {
                let at = self.host.now().after_ns(after_ns);
                self.stops_hard_at.set(Some(at));
                self.board.power_button().press();
                self.resume();
                true
            }
            VmState::Stopped | VmState::Halting | VmState::Starting | VmState::Destroyed => {
                self.kill()
            }
        }
    }

    /// Takes back that it will be stopped hard; the power button stays pressed. Returns false when it was not to be.
    pub fn abort_stop(&self) -> bool {
        self.stops_hard_at.take().is_some()
    }

    /// Returns how long it is until it is stopped hard, in ns, if it is to be.
    #[cfg(any(test, feature = "test-host"))]
    #[must_use]
    pub fn stops_hard_in_ns(&self) -> Option<u64> {
        let at = self.stops_hard_at.get()?;
        Some(at.since_ns(self.host.now()))
    }

    /// Stops it hard when its time has come. To be called now and then.
    pub fn count_down(&self, now: Instant) {
        if self.stops_hard_at.get().is_some_and(|at| at <= now) && self.abort_stop() {
            log::warn!("vm {}: did not switch itself off in time", self.name());
            self.kill();
        }
    }
}
