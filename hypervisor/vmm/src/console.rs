//! Who speaks and who is heard on the machine's serial port and screen.
//!
//! The VM in focus has the console to itself, byte for byte. Other VMs' lines come whole, with their name in front. What is typed
//! goes to the VM in focus, or to the operator's shell after the escape key.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use host::Host;
use spin::Mutex;
use spin::mutex::TicketMutex;

/// Output that waits for a slow serial port; more than this is dropped, and said so.
const WAITING_BYTES: usize = 64 * 1024;
/// Guests are asked to wait when so much output waits, and lines of those in the background are dropped: the rest of the room is
/// the operator's and the hypervisor's, whom no guest may silence.
const FULL_BYTES: usize = 16 * 1024;
/// How long the end of the machine waits for a slow serial port.
const DRAIN_NS: u64 = 3_000_000_000;
/// The longest line of a VM in the background, and of a message.
const LINE_BYTES: usize = 256;

/// The operator's shell, as a focus.
pub(crate) const SHELL: usize = usize::MAX;

/// Never in focus.
const NOBODY: usize = usize::MAX - 1;

/// The physical console. Lock order: a device's slot, then this.
pub(crate) struct Console<H: Host> {
    host: &'static H,
    focus: AtomicUsize,
    /// Taken in turn, as all VMs meet here.
    output: TicketMutex<Output>,
    /// A message of the hypervisor that comes in pieces.
    message: Mutex<Vec<u8>>,
}

/// Where the hypervisor's own messages go.
pub(crate) trait MessageSink: Sync {
    /// Takes a piece of a message; a newline ends it.
    fn take(&self, text: &str);
}

impl<H: Host> MessageSink for Console<H> {
    fn take(&self, text: &str) {
        let mut message = self.message.lock();
        for byte in text.bytes() {
            if byte == b'\n' || message.len() == LINE_BYTES {
                self.write_line(&[&message]);
                message.clear();
            }
            if byte != b'\n' {
                message.push(byte);
            }
        }
    }
}

#[derive(Default)]
struct Output {
    waiting: VecDeque<u8>,
    dropped: u64,
    is_at_line_start: bool,
}

impl<H: Host> Console<H> {
    pub(crate) fn new(host: &'static H) -> Self {
        Self {
            host,
            focus: AtomicUsize::new(0),
            output: TicketMutex::new(Output {
                waiting: VecDeque::with_capacity(WAITING_BYTES),
                dropped: 0,
                is_at_line_start: true,
            }),
            message: Mutex::new(Vec::with_capacity(LINE_BYTES)),
        }
    }

    /// The number of the VM that has the console, or [`SHELL`].
    pub(crate) fn focus(&self) -> usize {
        self.focus.load(Ordering::Relaxed)
    }

    /// Gives the console to a VM, or to the shell.
    pub(crate) fn set_focus(&self, to: usize) {
        self.focus.store(to, Ordering::Relaxed);
    }

    /// Writes for whoever has the focus.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut output = self.output.lock();
        self.push(&mut output, bytes);
    }

    /// Writes a line, given in pieces, that does not come from whoever has the focus: whole, and on a line of its own.
    fn write_line(&self, pieces: &[&[u8]]) {
        let mut output = self.output.lock();
        if !output.is_at_line_start {
            self.push(&mut output, b"\r\n");
        }
        for piece in pieces {
            self.push(&mut output, piece);
        }
        self.push(&mut output, b"\r\n");
    }

    /// Writes one line of a VM in the background, with its name.
    fn write_line_of(&self, name: &str, line: &[u8]) {
        let mut output = self.output.lock();
        if output.waiting.len() > FULL_BYTES {
            output.dropped += line.len() as u64;
            return;
        }
        drop(output);
        self.write_line(&[b"[", name.as_bytes(), b"] ", line]);
    }

    fn push(&self, output: &mut Output, bytes: &[u8]) {
        self.host.screen_write(bytes);
        let Some(last) = bytes.last() else { return };
        output.is_at_line_start = *last == b'\n';
        let mut rest = bytes;
        if output.waiting.is_empty() {
            rest = &bytes[self.host.console_write(bytes).min(bytes.len())..];
        }
        let room = WAITING_BYTES - output.waiting.len();
        let kept = rest.len().min(room);
        output.waiting.extend(&rest[..kept]);
        output.dropped += (rest.len() - kept) as u64;
    }

    /// Whether so much waits that guests should wait too.
    pub(crate) fn is_full(&self) -> bool {
        self.output.lock().waiting.len() > FULL_BYTES
    }

    /// Passes on what waited; returns whether some still does.
    pub(crate) fn flush(&self) -> bool {
        let mut output = self.output.lock();
        loop {
            let (front, _) = output.waiting.as_slices();
            if front.is_empty() {
                break;
            }
            let taken = self.host.console_write(front).min(front.len());
            if taken == 0 {
                return true;
            }
            output.waiting.drain(..taken);
        }
        let dropped = core::mem::take(&mut output.dropped);
        if dropped != 0 {
            // Not by way of the log, which ends here.
            let text =
                alloc::format!("\r\n[{dropped} bytes were lost: the console is too slow]\r\n");
            self.push(&mut output, text.as_bytes());
        }
        false
    }

    /// Passes on all that waits, for a while at most: before the machine ends.
    pub(crate) fn drain(&self) {
        let end = self.host.now().after_ns(DRAIN_NS);
        while self.flush() && self.host.now() < end {
            core::hint::spin_loop();
        }
    }
}

/// What a VM prints, on its way to the console.
pub(crate) struct Printer {
    vm: usize,
    name: String,
    line: Mutex<Vec<u8>>,
}

impl Printer {
    pub(crate) fn new(vm: usize, name: &str) -> Self {
        Self {
            vm,
            name: name.into(),
            line: Mutex::new(Vec::with_capacity(LINE_BYTES)),
        }
    }

    /// A printer whose VM never has the console to itself on its account.
    pub(crate) fn background(name: &str) -> Self {
        Self::new(NOBODY, name)
    }

    /// Shows what a VM that comes into focus has printed of its line: a prompt, usually.
    pub(crate) fn show_rest<H: Host>(&self, console: &Console<H>) {
        let mut line = self.line.lock();
        console.write(&line);
        line.clear();
    }

    /// One byte from the VM's serial port.
    pub(crate) fn put<H: Host>(&self, console: &Console<H>, byte: u8) {
        if console.focus() == self.vm {
            console.write(&[byte]);
            return;
        }
        let mut line = self.line.lock();
        match byte {
            b'\r' => {}
            b'\n' => {
                console.write_line_of(&self.name, &line);
                line.clear();
            }
            b'\t' => line.push(b' '),
            // Control characters, escape sequences among them, stay with their VM; above ASCII are more of them.
            0..0x20 | 0x7f.. => line.push(b'.'),
            _ => line.push(byte),
        }
        if line.len() >= LINE_BYTES {
            console.write_line_of(&self.name, &line);
            line.clear();
        }
    }
}
