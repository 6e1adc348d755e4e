//! A VM's view: what it prints on its serial port is confined, kept, and shown by each session that
//! looks at it.

use crate::allowance::Allowance;
use crate::console::{Console, FULL_BYTES, MAX_LINE_BYTES};
use crate::consoles::Consoles;
use crate::focus::Focus;
use alloc::string::String;
use alloc::vec::Vec;
use board::SerialEnd;
use core::sync::atomic::{AtomicBool, Ordering};
use host::Host;
use spin::Mutex;
use terminal::{Confined, Scrollback, Sink};

/// The most that is kept of a VM's output.
const SCROLLBACK_BYTES: usize = 64 * 1024;
/// The most lines and bytes that are shown again to an operator who comes back.
const SCREEN_LINES: usize = 23;
const SCREEN_BYTES: u64 = 4 * 1024;
/// Symbols of a row in [`View::text`].
const ROW_SYMBOLS: usize = 79;
/// The most bytes of a picture that are shown again.
const PICTURE_BYTES: u64 = 16 * 1024;

/// Puts back what `display.rs` may have changed on a terminal; the cursor goes below the picture.
const BELOW_SCREEN: &[u8] = b"\x1b[m\x1b(B\x0f\x1b[?25h\x1b[?7h\x1b[999;1H\r\n";

/// A VM's view. Lock order: the UART's slot, then this, then a console.
pub(crate) struct View<H: Host> {
    vm: usize,
    name: String,
    consoles: &'static Consoles<H>,
    state: Mutex<State>,
    /// The VM's share of the room for output that waits.
    allowance: Allowance,
    /// Set while the VM may ask the operator's terminal something.
    may_ask: AtomicBool,
}

struct State {
    confined: Confined,
    back: Scrollback,
    /// The text of the current line, for when it is shown as a line among others.
    line: Vec<u8>,
    is_picture: bool,
}

impl<H: Host> View<H> {
    pub(crate) fn new(vm: usize, name: &str, consoles: &'static Consoles<H>) -> Self {
        Self {
            vm,
            name: name.into(),
            consoles,
            state: Mutex::new(State {
                confined: Confined::default(),
                back: Scrollback::new(SCROLLBACK_BYTES),
                line: Vec::with_capacity(MAX_LINE_BYTES + 4),
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
        let mut filter = Filter {
            view: self,
            back,
            line,
            is_quiet: *is_picture,
            shown_bytes: 0,
        };
        confined.put(byte, &mut filter);
        // One byte may have many put back.
        let cost = filter.shown_bytes.max(1);
        let is_full_screen = confined.modes().is_full_screen();
        if is_full_screen != *is_picture {
            *is_picture = is_full_screen;
            self.set_picture(is_full_screen);
        }
        drop(state);
        // As long as the terminals take everything at once, no guest waits.
        if self.consoles.waiting() == 0 {
            return false;
        }
        !self.allowance.spend(cost)
    }

    /// Tells all sessions that show the VM whether that is a picture.
    fn set_picture(&self, is_picture: bool) {
        for console in self.consoles.showing_serial_of(self.vm) {
            let held_back = console.set_picture(is_picture);
            tell_held_back(console, held_back);
        }
    }

    /// Renews the VM's share, as one of `count`, of the room that `waiting_bytes` leave. Returns
    /// false when there is none.
    pub(crate) fn renew_share(&self, waiting_bytes: usize, count: usize) -> bool {
        let room = FULL_BYTES.saturating_sub(waiting_bytes);
        self.allowance.renew(room, count);
        room != 0
    }

    /// Lets the VM ask the operator's terminal one more question.
    pub(crate) fn allow_question(&self) {
        self.may_ask.store(true, Ordering::Relaxed);
    }

    /// Gives a session to the VM's serial port, and shows the last of what it printed.
    pub(crate) fn attach(&self, console: &Console<H>) {
        let state = self.state.lock();
        console.set_focus(Focus::Serial(self.vm));
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
            // The header comes behind the lines that are whole: what follows it is new, but for a
            // prompt.
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

    /// Gives a session to the VM's screen, which then draws itself.
    pub(crate) fn attach_screen(&self, console: &Console<H>) {
        let _state = self.state.lock();
        let text = alloc::format!(
            "\r\nscreen of vm {}; Ctrl-] leads to the shell\r\n",
            self.name
        );
        console.write(text.as_bytes());
        console.set_focus(Focus::Screen(self.vm));
    }

    /// Takes a session from the VM, if it has it, and puts the terminal back as it was.
    pub(crate) fn leave(&self, console: &Console<H>) {
        let state = self.state.lock();
        if console.focus().vm() != Some(self.vm) {
            return;
        }
        if console.shows_serial_of(self.vm) {
            state.confined.modes().leave(&mut Shown(console));
        } else {
            console.write(BELOW_SCREEN);
        }
        console.set_focus(Focus::Shell);
        let held_back = console.set_picture(false);
        tell_held_back(console, held_back);
    }

    /// Puts back what the VM left half done on terminals: it has ended.
    fn clean_up(&self) {
        let mut state = self.state.lock();
        self.end_line(&mut state);
        let confined = core::mem::take(&mut state.confined);
        for console in self.consoles.showing_serial_of(self.vm) {
            confined.modes().leave(&mut Shown(console));
        }
        confined.modes().leave(&mut Kept(&mut state.back));
        if core::mem::take(&mut state.is_picture) {
            self.set_picture(false);
        }
        for console in self.consoles.iter() {
            if console.focus() == Focus::Screen(self.vm) {
                // Why it has ended is told below its last picture.
                console.write(BELOW_SCREEN);
                let held_back = console.set_picture(false);
                tell_held_back(console, held_back);
            }
        }
    }

    /// Ends a line that was begun, so that nothing runs into it.
    fn end_line(&self, state: &mut State) {
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
        let mut filter = Filter {
            view: self,
            back,
            line,
            is_quiet: false,
            shown_bytes: 0,
        };
        filter.emit(b"\r");
        filter.emit(b"\n");
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

fn tell_held_back<H: Host>(console: &Console<H>, lines: u64) {
    if lines != 0 {
        let text = alloc::format!(
            "[{lines} lines came meanwhile: `log` has the hypervisor's, \
             `scrollback NAME` a VM's]\r\n"
        );
        console.write(text.as_bytes());
    }
}

/// The way of a byte's consequences: to the scrollback, and to each session.
struct Filter<'a, H: Host> {
    view: &'a View<H>,
    back: &'a mut Scrollback,
    line: &'a mut Vec<u8>,
    /// Set while its lines are none: they are places in a picture.
    is_quiet: bool,
    /// The bytes that went to each console.
    shown_bytes: u32,
}

impl<H: Host> Filter<'_, H> {
    fn end_line(&mut self) {
        let View {
            vm, name, consoles, ..
        } = self.view;
        if !self.is_quiet {
            for console in consoles.iter().filter(|it| !it.shows_serial_of(*vm)) {
                console.write_line_of(name, self.line);
            }
        }
        self.line.clear();
    }
}

impl<H: Host> Sink for Filter<'_, H> {
    #[inline]
    fn emit(&mut self, bytes: &[u8]) {
        self.back.push(bytes);
        let mut is_shown = false;
        for console in self.view.consoles.showing_serial_of(self.view.vm) {
            console.write(bytes);
            is_shown = true;
        }
        if is_shown {
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
        if self.line.len() >= MAX_LINE_BYTES {
            self.end_line();
        }
    }

    fn cleared(&mut self) {
        self.back.clear();
    }

    fn ask(&mut self, question: &[u8]) {
        // One terminal answers, as the guest has one. One question at a time: answers take room
        // where the operator types.
        let mut consoles = self.view.consoles.showing_serial_of(self.view.vm);
        if let Some(console) = consoles.next()
            && self.view.may_ask.swap(false, Ordering::Relaxed)
        {
            console.ask(question);
        }
    }
}

/// To one terminal only.
struct Shown<'a, H: Host>(&'a Console<H>);

impl<H: Host> Sink for Shown<'_, H> {
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
