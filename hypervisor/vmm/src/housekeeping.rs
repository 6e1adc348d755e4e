//! The boot CPU's chores: what is typed, what waits to be printed, the operator's shell, the end.

use crate::Hypervisor;
use crate::console::SHELL;
use crate::shell::Shell;
use crate::vm::Vm;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use device::Instant;
use host::{Host, PowerAction};

/// How often the console is looked at. The serial port is polled, so that it works the same on machines that do not tell how its
/// interrupt is routed.
const TICK_NS: u64 = 10_000_000;
/// How often while output waits: at 115,200 baud a FIFO of 16 bytes is empty after 1.4 ms.
const BUSY_TICK_NS: u64 = 1_000_000;
/// The most bytes of input taken in one round.
const INPUT_LIMIT: usize = 64;
/// The most bytes of input kept for a guest that does not take them; more are dropped.
const HELD_BYTES: usize = 256;
/// Ctrl-], which leads to the operator's shell.
const ESCAPE: u8 = 0x1d;

/// The state of the chores.
pub(crate) struct Housekeeping<H: Host> {
    hypervisor: &'static Hypervisor<H>,
    shell: Shell<H>,
    due: Instant,
    /// The VMs there are, as of `generation` of their list.
    vms: Vec<Arc<Vm<H>>>,
    generation: u64,
    /// What its guest had no room for yet, so that what is typed behind it is read all the same: Ctrl-] may be there.
    held: VecDeque<u8>,
}

impl<H: Host> Housekeeping<H> {
    pub(crate) fn new(hypervisor: &'static Hypervisor<H>) -> Self {
        let mut shell = Shell::new(hypervisor);
        if hypervisor.console.focus() == SHELL {
            shell.open();
        }
        Self {
            hypervisor,
            shell,
            due: Instant::default(),
            vms: hypervisor.vms(),
            generation: hypervisor.registry.generation(),
            held: VecDeque::with_capacity(HELD_BYTES),
        }
    }

    /// Does what is due; returns when to come back.
    pub(crate) fn keep(&mut self, now: Instant) -> Option<Instant> {
        if now < self.due {
            return Some(self.due);
        }
        self.renew_list();
        for vm in &self.vms {
            vm.count_down(now);
        }
        self.read();
        let is_waiting = self.hypervisor.console.flush();
        if !self.hypervisor.console.is_full() {
            for vm in &self.vms {
                vm.board.uart.release();
            }
        }
        let is_drawing = self.hypervisor.host.screen_draw();
        self.end_when_done();
        let pause = if is_waiting || is_drawing {
            BUSY_TICK_NS
        } else {
            TICK_NS
        };
        self.due = now.after_ns(pause);
        Some(self.due)
    }

    /// Looks which VMs there are, when that changed: a VM that was destroyed is let go of.
    fn renew_list(&mut self) {
        let generation = self.hypervisor.registry.generation();
        if generation != self.generation {
            self.generation = generation;
            self.vms = self.hypervisor.vms();
        }
    }

    fn read(&mut self) {
        for _ in 0..INPUT_LIMIT {
            let Some(byte) = self.hypervisor.host.console_read() else {
                break;
            };
            let focus = self.hypervisor.console.focus();
            if byte == ESCAPE {
                self.held.clear();
                if focus == SHELL {
                    self.shell.close();
                } else {
                    self.shell.open();
                }
            } else if focus == SHELL {
                self.shell.key(byte);
            } else if self.held.len() < HELD_BYTES {
                self.held.push_back(byte);
            }
        }
        self.hand_over();
    }

    /// Gives the VM in focus as much of what was typed as it has room for.
    fn hand_over(&mut self) {
        let focus = self.hypervisor.console.focus();
        let Some(vm) = self.vms.iter().find(|vm| vm.id() == focus) else {
            return;
        };
        while let Some(byte) = self.held.front() {
            if !vm.board.uart.receive(*byte) {
                return;
            }
            self.held.pop_front();
        }
    }

    fn end_when_done(&self) {
        let hypervisor = self.hypervisor;
        if hypervisor.config.host.shutdown_when_done && self.vms.iter().all(|vm| vm.is_done()) {
            log::info!("all VMs have ended; powering off");
            hypervisor.console.drain();
            hypervisor.host.power(PowerAction::Off);
        }
    }
}
