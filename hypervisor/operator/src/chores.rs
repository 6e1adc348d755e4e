//! The boot CPU's chores: what is typed, what waits to be printed, the operator's shell, the end.

use crate::Operator;
use crate::console::SHELL;
use crate::display::Display;
use crate::shell::Shell;
use crate::status::StatusLine;
use crate::typing::Typing;
use alloc::sync::Arc;
use alloc::vec::Vec;
use host::{Host, PowerAction, Terminal};
use time::Instant;
use vmm::VmState;
use vmm::{Chores, Vm};

/// How often the console is looked at. The serial port is polled, so that it works the same on machines that do not tell how its
/// interrupt is routed.
const TICK_NS: u64 = 10_000_000;
/// How often while output waits: at 115,200 baud a FIFO of 16 bytes is empty after 1.4 ms.
const BUSY_TICK_NS: u64 = 1_000_000;
/// The most bytes of input taken in one round.
const INPUT_LIMIT: usize = 64;
/// How often a guest may ask the operator's terminal something.
const QUESTION_NS: u64 = 100_000_000;
/// A guest's screen is drawn only while no more than this waits for the serial port: an old picture is of no use.
const PICTURE_BACKLOG: usize = 1024;
/// How long the end of the machine waits for answers of the shell that are not out yet.
const FAREWELL_NS: u64 = 3_000_000_000;
/// Ctrl-], which leads to the operator's shell.
const ESCAPE: u8 = 0x1d;

/// The state of the chores.
pub(crate) struct OperatorChores<H: Host> {
    operator: &'static Operator<H>,
    shell: Shell<H>,
    due: Instant,
    /// The VMs there are, as of `generation` of their list.
    vms: Vec<Arc<Vm<H>>>,
    generation: u64,
    typing: Typing<H>,
    /// The screen of the VM in focus, and which VM that is.
    display: Display,
    on_display: Option<Arc<Vm<H>>>,
    /// Whether the screen has not been seen since it got the focus.
    is_display_new: bool,
    next_question: Instant,
    status: StatusLine,
}

impl<H: Host> Chores for OperatorChores<H> {
    fn keep(&mut self, now: Instant) -> Option<Instant> {
        self.do_due(now)
    }
}

impl<H: Host> OperatorChores<H> {
    pub(crate) fn new(operator: &'static Operator<H>) -> Self {
        let mut shell = Shell::new(operator);
        if operator.console.focus() == SHELL {
            shell.open();
        }
        let mut keeper = Self {
            operator,
            shell,
            due: Instant::default(),
            vms: operator.hypervisor.vms(),
            generation: operator.hypervisor.generation(),
            typing: Typing::new(operator.console),
            display: Display::new(),
            on_display: None,
            is_display_new: false,
            next_question: Instant::default(),
            status: StatusLine::default(),
        };
        keeper.change_display();
        keeper
    }

    fn do_due(&mut self, now: Instant) -> Option<Instant> {
        if now < self.due {
            return Some(self.due);
        }
        self.renew_list();
        for vm in &self.vms {
            vm.count_down(now);
        }
        self.read(now);
        self.draw_guest(now);
        self.shell.keep(now);
        let is_waiting = self.operator.console.flush() || self.shell.is_waiting();
        // One number for all: who is given his share first may use it at once.
        let (waiting, count) = (self.operator.console.waiting(), self.vms.len());
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
        if self.next_question <= now {
            self.next_question = now.after_ns(QUESTION_NS);
            self.operator.outputs.allow_questions();
        }
        self.status.refresh(self.operator, &self.vms, now);
        let is_drawing = self.operator.host.terminal_draw(Terminal::Screen);
        self.leave();
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
        let generation = self.operator.hypervisor.generation();
        if generation != self.generation {
            self.generation = generation;
            self.vms = self.operator.hypervisor.vms();
            let is_there = |id| self.vms.iter().any(|vm| vm.id() == id);
            self.operator.outputs.retain(is_there);
        }
    }

    fn read(&mut self, now: Instant) {
        for _ in 0..INPUT_LIMIT {
            let host = self.operator.host;
            let mut typed = host.terminals().iter();
            let Some(byte) = typed.find_map(|terminal| host.terminal_read(*terminal)) else {
                break;
            };
            let focus = self.operator.console.focus();
            if byte == ESCAPE {
                self.typing.change();
                if focus == SHELL {
                    self.shell.close();
                } else {
                    self.shell.open();
                }
                self.change_display();
            } else if focus == SHELL {
                self.shell.byte(byte, now);
                self.change_display();
            } else if let Some(vm) = &self.on_display {
                let screen = Some(&mut self.display);
                self.typing.type_byte(byte, vm, screen, now);
            } else if let Some(vm) = self.operator.hypervisor.by_id(focus) {
                self.typing.type_byte(byte, &vm, None, now);
            }
        }
        for vm in &self.vms {
            // A paused guest notices nothing: what is typed waits outside.
            if vm.lifecycle().state() == VmState::Running {
                vm.board().serial().hand_over();
                vm.board().keyboard().hand_over();
            }
        }
    }

    /// Follows the focus to a VM's screen, or away from it.
    fn change_display(&mut self) {
        let console = self.operator.console;
        let wanted = console.is_screen().then(|| console.focus());
        if self.on_display.as_ref().map(|vm| vm.id()) == wanted {
            return;
        }
        if let Some(vm) = self.on_display.take() {
            self.display.leave(vm.board().keyboard());
        }
        self.on_display = wanted.and_then(|id| self.operator.hypervisor.by_id(id));
        self.is_display_new = true;
    }

    /// Shows what changed on the screen of the VM in focus.
    fn draw_guest(&mut self, now: Instant) {
        let console = self.operator.console;
        let Some(vm) = &self.on_display else {
            return;
        };
        let is_running = vm.lifecycle().state() == VmState::Running;
        self.display.keep(vm.board().keyboard(), is_running, now);
        if console.waiting() <= PICTURE_BACKLOG {
            // When its VM ends, lines come over the picture. It is whole again when the VM starts.
            if !console.is_picture() {
                if !self.is_display_new && !is_running {
                    return;
                }
                self.display.redraw();
                console.set_picture(true);
            }
            self.is_display_new = false;
            let bytes = self.display.render(vm.board().screen(), vm.ram(), now);
            if !bytes.is_empty() {
                console.write(bytes);
            }
        }
    }

    /// Leaves the machine if that was ordered, when the reply is out.
    fn leave(&self) {
        let operator = self.operator;
        let action = *operator.leaving.lock();
        if let Some(action) = action {
            self.shell.drain(operator.host.now().after_ns(FAREWELL_NS));
            operator.console.drain();
            operator.host.power(action);
        }
    }

    fn end_when_done(&self) {
        let operator = self.operator;
        if operator.hypervisor.config().host.shutdown_when_done
            && self.vms.iter().all(|vm| vm.is_done())
        {
            // The last picture is not to hide it.
            operator.console.set_picture(false);
            log::info!("all VMs have ended; powering off");
            operator.console.drain();
            operator.host.power(PowerAction::Off);
        }
    }
}
