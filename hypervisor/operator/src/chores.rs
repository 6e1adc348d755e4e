//! The boot CPU's chores: the sessions, the guests' shares of the room for output, the end.

use crate::Operator;
use crate::session::Session;
use alloc::sync::Arc;
use alloc::vec::Vec;
use host::{Host, PowerAction};
use time::Instant;
use vmm::VmState;
use vmm::{Chores, Vm};

/// The time between two looks at the terminals. The serial port is polled, so that it works the
/// same on machines that do not tell how its interrupt is routed.
const TICK_NS: u64 = 10_000_000;
/// The same while output waits: at 115,200 baud a FIFO of 16 bytes is empty after 1.4 ms.
const BUSY_TICK_NS: u64 = 1_000_000;
/// The time between two questions of a guest to the operator's terminal.
const QUESTION_NS: u64 = 100_000_000;
/// The longest that the end of the machine waits for answers of the shell that are not out yet.
const FAREWELL_NS: u64 = 3_000_000_000;

/// The state of the chores.
pub(crate) struct OperatorChores<H: Host> {
    operator: &'static Operator<H>,
    sessions: Vec<Session<H>>,
    due: Instant,
    /// The VMs there are, as of `generation` of their list.
    vms: Vec<Arc<Vm<H>>>,
    generation: u64,
    next_question: Instant,
}

impl<H: Host> Chores for OperatorChores<H> {
    fn keep(&mut self, now: Instant) -> Option<Instant> {
        self.do_due(now)
    }
}

impl<H: Host> OperatorChores<H> {
    pub(crate) fn new(operator: &'static Operator<H>) -> Self {
        let consoles = operator.consoles.iter();
        Self {
            operator,
            sessions: consoles.map(|it| Session::new(operator, it)).collect(),
            due: Instant::default(),
            vms: operator.hypervisor.vms(),
            generation: operator.hypervisor.generation(),
            next_question: Instant::default(),
        }
    }

    fn do_due(&mut self, now: Instant) -> Option<Instant> {
        if now < self.due {
            return Some(self.due);
        }
        self.renew_list();
        for vm in &self.vms {
            vm.count_down(now);
        }
        for session in &mut self.sessions {
            session.read(now);
        }
        self.hand_input_over();
        for session in &mut self.sessions {
            session.keep(now);
        }
        let is_waiting =
            self.operator.consoles.flush() | self.sessions.iter().any(Session::is_waiting);
        self.renew_shares(now);
        if self.next_question <= now {
            self.next_question = now.after_ns(QUESTION_NS);
            self.operator.outputs.allow_questions();
        }
        let mut is_drawing = false;
        for session in &mut self.sessions {
            is_drawing |= session.draw(&self.vms, now);
        }
        self.leave_if_ordered();
        self.end_when_done();
        let pause = if is_waiting || is_drawing {
            BUSY_TICK_NS
        } else {
            TICK_NS
        };
        self.due = now.after_ns(pause);
        Some(self.due)
    }

    /// Renews the list of VMs when it changed: a VM that was destroyed is let go of.
    fn renew_list(&mut self) {
        let generation = self.operator.hypervisor.generation();
        if generation != self.generation {
            self.generation = generation;
            self.vms = self.operator.hypervisor.vms();
            let is_there = |id| self.vms.iter().any(|vm| vm.id() == id);
            for session in &mut self.sessions {
                session.leave_destroyed(is_there);
            }
            self.operator.outputs.retain(is_there);
        }
    }

    /// Hands over what was typed for guests. A paused guest notices nothing: what is typed waits
    /// outside.
    fn hand_input_over(&self) {
        for vm in &self.vms {
            if vm.lifecycle().state() == VmState::Running {
                vm.board().serial().hand_over();
                vm.board().keyboard().hand_over();
            }
        }
    }

    /// Gives each VM its share of the room for output that waits.
    fn renew_shares(&self, now: Instant) {
        // One number for all: the VM that is given its share first may use it at once.
        let (waiting, count) = (self.operator.consoles.waiting(), self.vms.len());
        for vm in &self.vms {
            vm.count_down(now);
            let Some(output) = self.operator.outputs.of(vm.id()) else {
                continue;
            };
            output.debug_text.renew_share(waiting, count);
            if output.view.renew_share(waiting, count) {
                vm.board().serial().release();
            }
        }
    }

    /// Leaves the machine if that was ordered, when the reply is out.
    fn leave_if_ordered(&self) {
        let operator = self.operator;
        let action = *operator.leaving.lock();
        if let Some(action) = action {
            let end = operator.host.now().after_ns(FAREWELL_NS);
            for session in &self.sessions {
                session.drain(end);
            }
            // For the sessions that did not order it.
            log::info!("the operator leaves the machine: {action:?}");
            operator.consoles.drain();
            operator.host.power(action);
        }
    }

    fn end_when_done(&self) {
        let operator = self.operator;
        if operator.hypervisor.config().host.shutdown_when_done
            && self.vms.iter().all(|vm| vm.is_done())
        {
            // The last picture is not to hide it.
            for console in operator.consoles.iter() {
                console.set_picture(false);
            }
            log::info!("all VMs have ended; powering off");
            operator.consoles.drain();
            operator.host.power(PowerAction::Off);
        }
    }
}
