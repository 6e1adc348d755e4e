//! A session: one terminal with its focus, shell, display and typing.
//!
//! There are as many as the machine has terminals, each with a focus of its own: the serial port
//! and the screen may show different VMs at the same time.

use crate::Operator;
use crate::console::Console;
use crate::display::Display;
use crate::focus::Focus;
use crate::shell::Shell;
use crate::status::StatusLine;
use crate::typing::Typing;
use alloc::sync::Arc;
use host::{Host, Terminal};
use time::Instant;
use vmm::{Vm, VmState};

/// The most bytes of input taken in one round.
const INPUT_LIMIT: usize = 64;
/// A guest's screen is drawn only while no more than this waits for the terminal: an old picture is
/// of no use.
const PICTURE_BACKLOG: usize = 1024;
/// Ctrl-], which leads to the operator's shell.
const ESCAPE: u8 = 0x1d;

/// A session.
pub(crate) struct Session<H: Host> {
    operator: &'static Operator<H>,
    console: &'static Console<H>,
    shell: Shell<H>,
    typing: Typing<H>,
    /// The screen of the VM in focus, and which VM that is.
    display: Display,
    on_display: Option<Arc<Vm<H>>>,
    /// Set if the screen has not been shown since it got the focus.
    is_display_new: bool,
    status: StatusLine,
}

impl<H: Host> Session<H> {
    pub(crate) fn new(operator: &'static Operator<H>, console: &'static Console<H>) -> Self {
        let mut shell = Shell::new(operator, console);
        if console.focus() == Focus::Shell {
            shell.open();
        }
        let mut session = Self {
            operator,
            console,
            shell,
            typing: Typing::new(console),
            display: Display::new(),
            on_display: None,
            is_display_new: false,
            status: StatusLine::default(),
        };
        session.follow_focus();
        session
    }

    /// Takes what was typed: for the shell, or for the VM in focus.
    pub(crate) fn read(&mut self, now: Instant) {
        for _ in 0..INPUT_LIMIT {
            let terminal = self.console.terminal();
            let Some(byte) = self.operator.host.terminal_read(terminal) else {
                break;
            };
            let focus = self.console.focus();
            if byte == ESCAPE {
                self.typing.change();
                if focus == Focus::Shell {
                    self.shell.close();
                } else {
                    self.shell.open();
                }
                self.follow_focus();
            } else if focus == Focus::Shell {
                self.shell.byte(byte, now);
                self.follow_focus();
            } else if let Some(vm) = &self.on_display {
                let screen = Some(&mut self.display);
                self.typing.type_byte(byte, vm, screen, now);
            } else if let Some(vm) = focus.vm().and_then(|id| self.operator.hypervisor.by_id(id)) {
                self.typing.type_byte(byte, &vm, None, now);
            }
        }
    }

    /// Follows the focus to a VM's screen, or away from it.
    fn follow_focus(&mut self) {
        let wanted = match self.console.focus() {
            Focus::Screen(vm) => Some(vm),
            Focus::Shell | Focus::Serial(_) => None,
        };
        if self.on_display.as_ref().map(|vm| vm.id()) == wanted {
            return;
        }
        if let Some(vm) = self.on_display.take() {
            self.display.leave(vm.board().keyboard());
        }
        self.on_display = wanted.and_then(|id| self.operator.hypervisor.by_id(id));
        self.is_display_new = true;
    }

    /// Leaves the screen of a VM that another session has destroyed, for the shell: the VM's memory is
    /// free only when nobody looks at it. To be called while its output is still there.
    pub(crate) fn leave_destroyed(&mut self, is_there: impl Fn(usize) -> bool) {
        if let Focus::Screen(vm) = self.console.focus()
            && !is_there(vm)
        {
            self.typing.change();
            self.shell.open();
            self.follow_focus();
        }
    }

    /// Does what time brings: pictures and tables that change, keys that come up, answers that wait
    /// for room.
    pub(crate) fn keep(&mut self, now: Instant) {
        self.draw_guest(now);
        self.shell.keep(now);
    }

    /// Shows what changed on the screen of the VM in focus.
    fn draw_guest(&mut self, now: Instant) {
        let console = self.console;
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

    /// Returns whether answers of the shell wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.shell.is_waiting()
    }

    /// Draws a bounded part of what changed on the terminal. Returns whether more is left.
    pub(crate) fn draw(&mut self, vms: &[Arc<Vm<H>>], now: Instant) -> bool {
        match self.console.terminal() {
            Terminal::Serial => {}
            Terminal::Screen => self.status.refresh(self.operator, self.console, vms, now),
        }
        self.operator.host.terminal_draw(self.console.terminal())
    }

    /// Passes on what the shell has answered, until `end` at most: before the machine is left.
    pub(crate) fn drain(&self, end: Instant) {
        self.shell.drain(end);
    }
}
