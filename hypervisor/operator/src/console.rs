//! The output of a session: what its terminal shows.
//!
//! One source has the focus: the operator's shell, or a VM's view (`view.rs`). Lines of all others
//! come whole, with their VM's name in front, above the line that the focus is at, which is shown
//! again. A picture that fills the terminal is not disturbed: lines that come meanwhile are
//! counted, and can be read in the log and in the scrollback of their VM.

use crate::focus::{AtomicFocus, Focus};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use host::{Host, Terminal};
use spin::mutex::TicketMutex;

/// Output that waits for a slow serial port. More than this is dropped, and the loss is told.
const WAITING_BYTES: usize = 32 * 1024;
/// Guests are asked to wait when so much output waits, and lines of those in the background are
/// dropped: the rest of the room is the operator's and the hypervisor's, which no guest may
/// silence.
pub(crate) const FULL_BYTES: usize = 8 * 1024;
/// The longest line of a VM in the background, and of a message.
pub(crate) const MAX_LINE_BYTES: usize = 256;
/// The longest line of the focus that is shown again after a line from elsewhere, its sequences
/// included.
const MAX_OPEN_LINE_BYTES: usize = 1024;
/// A line this long is on one row of any terminal, and can be wiped.
const ROW_BYTES: usize = 79;

/// The output of a session. Lock order: a device's slot, then a view, then this.
pub(crate) struct Console<H: Host> {
    host: &'static H,
    terminal: Terminal,
    /// Changed with the view of the VM in question locked, and `output`.
    focus: AtomicFocus,
    /// The bytes that wait, for those who need no exact number.
    waiting: AtomicUsize,
    /// Taken in turn, as all VMs meet here.
    output: TicketMutex<Output>,
}

struct Output {
    waiting: VecDeque<u8>,
    /// The most bytes that can wait: the exit path allocates nothing.
    room: usize,
    dropped: u64,
    /// The output of the focus on its line, and whether that is all of it.
    open_line: Vec<u8>,
    is_open_line_whole: bool,
    /// Set while a line in between would spoil what is on the terminal.
    is_picture: bool,
    /// Lines that were not shown for that.
    held_back: u64,
}

impl Output {
    fn end_line(&mut self) {
        self.open_line.clear();
        self.is_open_line_whole = true;
    }
}

impl<H: Host> Console<H> {
    pub(crate) fn new(host: &'static H, terminal: Terminal) -> Self {
        // Nothing waits for a screen.
        let room = match terminal {
            Terminal::Serial => WAITING_BYTES,
            Terminal::Screen => 0,
        };
        Self {
            host,
            terminal,
            focus: AtomicFocus::new(),
            waiting: AtomicUsize::new(0),
            output: TicketMutex::new(Output {
                waiting: VecDeque::with_capacity(room),
                room,
                dropped: 0,
                open_line: Vec::with_capacity(MAX_OPEN_LINE_BYTES),
                is_open_line_whole: true,
                is_picture: false,
                held_back: 0,
            }),
        }
    }

    /// Returns the session's terminal.
    pub(crate) fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// Returns the focus.
    pub(crate) fn focus(&self) -> Focus {
        self.focus.get()
    }

    /// Returns whether this VM's serial port is what the terminal shows.
    pub(crate) fn shows_serial_of(&self, vm: usize) -> bool {
        self.focus() == Focus::Serial(vm)
    }

    /// Changes the focus. Views do so, with themselves locked.
    pub(crate) fn set_focus(&self, to: Focus) {
        let mut output = self.output.lock();
        self.focus.set(to);
        // A screen is a picture as soon as it is drawn.
        output.is_picture = false;
    }

    /// Returns whether what is seen is a picture.
    pub(crate) fn is_picture(&self) -> bool {
        self.output.lock().is_picture
    }

    /// Sets whether what is seen is a picture. Returns how many lines were held back for the one
    /// that was.
    pub(crate) fn set_picture(&self, is_picture: bool) -> u64 {
        let mut output = self.output.lock();
        output.is_picture = is_picture;
        if is_picture {
            return 0;
        }
        output.end_line();
        core::mem::take(&mut output.held_back)
    }

    /// Writes for the shell or VM in focus.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut output = self.output.lock();
        self.push(&mut output, bytes);
        let line = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => {
                output.end_line();
                bytes.get(at + 1..).unwrap_or_default()
            }
            None => bytes,
        };
        if output.open_line.len() + line.len() <= MAX_OPEN_LINE_BYTES {
            output.open_line.extend(line);
        } else {
            output.is_open_line_whole = false;
        }
    }

    /// Sends the terminal a question, which is no part of any line.
    pub(crate) fn ask(&self, question: &[u8]) {
        let mut output = self.output.lock();
        self.push(&mut output, question);
    }

    /// Writes a line, given in pieces, that does not come from the focus: whole, and on a line of
    /// its own.
    pub(crate) fn write_line(&self, pieces: &[&[u8]]) {
        let mut output = self.output.lock();
        self.put_line(&mut output, pieces);
    }

    fn put_line(&self, output: &mut Output, pieces: &[&[u8]]) {
        if output.is_picture {
            output.held_back += 1;
            return;
        }
        let open_line = core::mem::take(&mut output.open_line);
        // Symbols may be dressed in the middle of a line; what is shown again dresses itself.
        if open_line.contains(&0x1b) {
            self.push(output, b"\x1b[m\x1b(B\x0f");
        }
        if !output.is_open_line_whole || open_line.len() > ROW_BYTES {
            self.push(output, b"\r\n");
        } else if !open_line.is_empty() {
            self.push(output, b"\r\x1b[K");
        }
        for piece in pieces {
            self.push(output, piece);
        }
        self.push(output, b"\r\n");
        if output.is_open_line_whole {
            self.push(output, &open_line);
        }
        output.open_line = open_line;
    }

    /// Tells the operator about what was just done, which is no matter for the log. Over a picture
    /// it is a bell.
    pub(crate) fn remark(&self, text: &str) {
        let mut output = self.output.lock();
        if output.is_picture {
            self.push(&mut output, b"\x07");
        } else {
            self.put_line(&mut output, &[b"[", text.as_bytes(), b"]"]);
        }
    }

    /// Writes one line of a VM in the background, with its name.
    pub(crate) fn write_line_of(&self, name: &str, line: &[u8]) {
        let mut output = self.output.lock();
        if output.waiting.len() > FULL_BYTES {
            output.dropped += line.len() as u64;
            return;
        }
        self.put_line(&mut output, &[b"[", name.as_bytes(), b"] ", line]);
    }

    /// Drops a line of a VM, as too much waits. What was lost is told when there is room.
    pub(crate) fn drop_line(&self, line: &[u8]) {
        // With its end, so that empty ones count.
        self.output.lock().dropped += line.len() as u64 + 1;
    }

    fn push(&self, output: &mut Output, bytes: &[u8]) {
        let mut rest = bytes;
        if output.waiting.is_empty() {
            let taken = self.host.terminal_write(self.terminal, bytes);
            rest = bytes.get(taken..).unwrap_or_default();
        }
        let room = output.room.saturating_sub(output.waiting.len());
        let (kept, lost) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        output.waiting.extend(kept);
        output.dropped += lost.len() as u64;
        self.waiting.store(output.waiting.len(), Ordering::Relaxed);
    }

    /// Returns how much waits for the terminal, in bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Passes on what waits. Returns whether some still does.
    pub(crate) fn flush(&self) -> bool {
        let mut output = self.output.lock();
        loop {
            let (front, _) = output.waiting.as_slices();
            if front.is_empty() {
                break;
            }
            let taken = self
                .host
                .terminal_write(Terminal::Serial, front)
                .min(front.len());
            if taken == 0 {
                return true;
            }
            output.waiting.drain(..taken);
            self.waiting.store(output.waiting.len(), Ordering::Relaxed);
        }
        let dropped = core::mem::take(&mut output.dropped);
        if dropped != 0 && !output.is_picture {
            // Not by way of the log, which ends here.
            let text = alloc::format!("[{dropped} bytes were lost: the console is too slow]");
            self.put_line(&mut output, &[text.as_bytes()]);
        }
        false
    }
}
