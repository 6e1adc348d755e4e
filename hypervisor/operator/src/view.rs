//! A VM's own view of the console: what it prints on its serial port is confined, kept, and shown while it has the focus.

use crate::allowance::Allowance;
use crate::console::{Console, FULL_BYTES, LINE_BYTES, SHELL};
use alloc::string::String;
use alloc::vec::Vec;
use board::SerialEnd;
use core::sync::atomic::{AtomicBool, Ordering};
use host::Host;
use spin::Mutex;
use terminal::{Confined, Scrollback, Sink};

/// How much is kept of what a VM printed.
const SCROLLBACK_BYTES: usize = 64 * 1024;
/// How many lines are shown again to an operator who comes back, and how many bytes at most.
const SCREEN_LINES: usize = 23;
const SCREEN_BYTES: u64 = 4 * 1024;
/// Symbols of a row in [`View::text`].
const ROW_SYMBOLS: usize = 79;
/// The most bytes of a picture that are shown again.
const PICTURE_BYTES: u64 = 16 * 1024;

/// What `display.rs` may have changed on a terminal is put back, and the cursor goes below the picture.
const BELOW_SCREEN: &[u8] = b"\x1b[m\x1b(B\x0f\x1b[?25h\x1b[?7h\x1b[999;1H\r\n";

/// A VM's view. Lock order: the UART's slot, then this, then the console.
pub(crate) struct View<H: Host> {
    vm: usize,
    name: String,
    console: &'static Console<H>,
    state: Mutex<State>,
    /// The VM's share of the room for output that waits.
    allowance: Allowance,
    /// Whether the VM may ask the operator's terminal something.
    may_ask: AtomicBool,
}

struct State {
    confined: Confined,
    back: Scrollback,
    /// The text of the line it is at, for when it is shown as a line among others.
    line: Vec<u8>,
    is_picture: bool,
}

impl<H: Host> View<H> {
    pub(crate) fn new(vm: usize, name: &str, console: &'static Console<H>) -> Self {
        Self {
            vm,
            name: name.into(),
            console,
            state: Mutex::new(State {
                confined: Confined::default(),
                back: Scrollback::new(SCROLLBACK_BYTES),
                line: Vec::with_capacity(LINE_BYTES + 4),
                is_picture: false,
            }),
            allowance: Allowance::new(FULL_BYTES),
            may_ask: AtomicBool::new(true),
        }
    }

    /// Returns the VM's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes one byte from the VM's serial port. Returns whether the VM had better wait until the
    /// next [`View::renew_share`].
    fn take(&self, byte: u8) -> bool {
        let mut state = self.state.lock();
        let State {
            confined,
            back,
            line,
            is_picture,
        } = &mut *state;
        let is_shown = self.console.shows_serial_of(self.vm);
        let mut gate = Gate {
            view: self,
            back,
            line,
            is_shown,
            is_quiet: *is_picture,
            shown_bytes: 0,
        };
        confined.put(byte, &mut gate);
        // One byte may have many put back.
        let cost = gate.shown_bytes.max(1);
        let is_full_screen = confined.modes().is_full_screen();
        if is_full_screen != *is_picture {
            *is_picture = is_full_screen;
            if is_shown {
                let held_back = self.console.set_picture(is_full_screen);
                self.tell_held_back(held_back);
            }
        }
        drop(state);
        // As long as the serial port takes everything at once, nobody waits.
        if self.console.waiting() == 0 {
            return false;
        }
        !self.allowance.spend(cost)
    }

    /// Gives the VM its share, as one of `count`, of the room that `waiting_bytes` leave. Returns false when there is none.
    pub(crate) fn renew_share(&self, waiting_bytes: usize, count: usize) -> bool {
        let room = FULL_BYTES.saturating_sub(waiting_bytes);
        self.allowance.renew(room, count);
        room != 0
    }

    /// Lets the VM ask the operator's terminal one more question.
    pub(crate) fn allow_question(&self) {
        self.may_ask.store(true, Ordering::Relaxed);
    }

    /// Gives the console to the VM's serial port, and shows the last of what it printed.
    pub(crate) fn attach(&self) {
        let state = self.state.lock();
        let console = self.console;
        console.set_focus(self.vm, false);
        let header = alloc::format!("console of vm {}; Ctrl-] leads to the shell\r\n", self.name);
        let modes = state.confined.modes();
        let back = &state.back;
        let mut shown = Shown(console);
        console.write(b"\r\n");
        if state.is_picture {
            console.write(header.as_bytes());
            modes.enter(&mut shown);
            shown.emit(b"\x1b[H\x1b[2J");
            let lines = || back.lines_start(SCREEN_LINES, SCREEN_BYTES);
            let from = back.picture_start(PICTURE_BYTES).unwrap_or_else(lines);
            back.replay(from, back.end(), &mut shown);
            modes.dress_anew(&mut shown);
            console.set_picture(true);
        } else {
            // The header comes behind the lines that are whole: what follows it is new, but for a prompt.
            let open = back.open_line_start(SCREEN_BYTES);
            back.replay(
                back.lines_start(SCREEN_LINES, SCREEN_BYTES),
                open,
                &mut shown,
            );
            shown.emit(b"\x1b[m\x1b(B\x0f");
            console.write(header.as_bytes());
            modes.enter(&mut shown);
            back.replay(open, back.end(), &mut shown);
            modes.dress(&mut shown);
        }
    }

    /// Gives the console to the VM's screen, which then draws itself.
    pub(crate) fn attach_screen(&self) {
        let _state = self.state.lock();
        let text = alloc::format!(
            "\r\nscreen of vm {}; Ctrl-] leads to the shell\r\n",
            self.name
        );
        self.console.write(text.as_bytes());
        self.console.set_focus(self.vm, true);
    }

    /// Takes the console from the VM, if it has it, and puts the terminal back as it was.
    pub(crate) fn leave(&self) {
        let state = self.state.lock();
        if self.console.focus() != self.vm {
            return;
        }
        if self.console.is_screen() {
            self.console.write(BELOW_SCREEN);
        } else {
            state.confined.modes().leave(&mut Shown(self.console));
        }
        self.console.set_focus(SHELL, false);
        let held_back = self.console.set_picture(false);
        self.tell_held_back(held_back);
    }

    /// Puts back what the VM left half done on the terminal: it has ended.
    fn clean_up(&self) {
        let mut state = self.state.lock();
        let is_shown = self.console.shows_serial_of(self.vm);
        self.end_line(&mut state, is_shown);
        let confined = core::mem::take(&mut state.confined);
        let mut gate = Gate {
            view: self,
            back: &mut Scrollback::new(1),
            line: &mut Vec::new(),
            is_shown,
            is_quiet: true,
            shown_bytes: 0,
        };
        confined.modes().leave(&mut gate);
        confined.modes().leave(&mut Kept(&mut state.back));
        if state.is_picture {
            state.is_picture = false;
            if is_shown {
                let held_back = self.console.set_picture(false);
                self.tell_held_back(held_back);
            }
        }
        if self.console.focus() == self.vm && self.console.is_screen() {
            // Why it has ended is told below its last picture.
            self.console.write(BELOW_SCREEN);
            let held_back = self.console.set_picture(false);
            self.tell_held_back(held_back);
        }
    }

    /// Ends a line that was begun, so that nothing runs into it.
    fn end_line(&self, state: &mut State, is_shown: bool) {
        let State {
            back,
            line,
            is_picture,
            ..
        } = state;
        // A picture has no lines.
        if line.is_empty() || *is_picture {
            line.clear();
            return;
        }
        let mut gate = Gate {
            view: self,
            back,
            line,
            is_shown,
            is_quiet: false,
            shown_bytes: 0,
        };
        gate.emit(b"\r");
        gate.emit(b"\n");
    }

    fn tell_held_back(&self, lines: u64) {
        if lines != 0 {
            let text = alloc::format!(
                "[{lines} lines came meanwhile: `log` has the hypervisor's, `scrollback NAME` a VM's]\r\n"
            );
            self.console.write(text.as_bytes());
        }
    }

    /// Returns what is kept of the VM's output, as plain lines that fit a row of a terminal.
    pub(crate) fn text(&self) -> String {
        let state = self.state.lock();
        let bytes: Vec<u8> = state.back.from(0).collect();
        // Taking it apart takes a while: not with the VM waiting.
        drop(state);
        terminal::plain_text(bytes.into_iter(), ROW_SYMBOLS)
    }
}

impl<H: Host> SerialEnd for View<H> {
    fn put(&self, byte: u8) -> bool {
        self.take(byte)
    }

    fn end(&self) {
        self.clean_up();
    }
}

/// Where a byte's consequences go.
struct Gate<'a, H: Host> {
    view: &'a View<H>,
    back: &'a mut Scrollback,
    line: &'a mut Vec<u8>,
    is_shown: bool,
    /// Whether its lines are none: they are places in a picture.
    is_quiet: bool,
    /// What went to the console.
    shown_bytes: u32,
}

impl<H: Host> Gate<'_, H> {
    fn end_line(&mut self) {
        if !self.is_shown && !self.is_quiet {
            self.view.console.write_line_of(&self.view.name, self.line);
        }
        self.line.clear();
    }
}

impl<H: Host> Sink for Gate<'_, H> {
    #[inline]
    fn emit(&mut self, bytes: &[u8]) {
        self.back.push(bytes);
        if self.is_shown {
            self.view.console.write(bytes);
            self.shown_bytes = self.shown_bytes.saturating_add(bytes.len() as u32);
        }
        match bytes {
            [b'\n'] => self.end_line(),
            [b'\t'] => self.line.push(b' '),
            [0x08] => {
                self.line.pop();
            }
            [first, ..] if *first >= b' ' => self.line.extend(bytes),
            _ => {}
        }
        if self.line.len() >= LINE_BYTES {
            self.end_line();
        }
    }

    fn cleared(&mut self) {
        self.back.clear();
    }

    fn ask(&mut self, question: &[u8]) {
        // One at a time: answers take room where the operator types.
        if self.is_shown && self.view.may_ask.swap(false, Ordering::Relaxed) {
            self.view.console.ask(question);
        }
    }
}

/// To the terminal only.
struct Shown<H: Host>(&'static Console<H>);

impl<H: Host> Sink for Shown<H> {
    fn emit(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

/// To the scrollback only.
struct Kept<'a>(&'a mut Scrollback);

impl Sink for Kept<'_> {
    fn emit(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }
}
