//! Who speaks and who is heard on the machine's serial port and screen.
//!
//! The VM in focus has the console to itself, byte for byte. Other VMs' lines come whole, with their name in front. What is typed
//! goes to the VM in focus, or to the operator's shell after the escape key.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use host::Host;
use spin::Mutex;

/// Output that waits for a slow serial port; more than this is dropped, and said so.
const WAITING_BYTES: usize = 64 * 1024;
/// Guests are asked to wait when so much output waits.
const FULL_BYTES: usize = 48 * 1024;
/// The longest line of a VM in the background.
const LINE_BYTES: usize = 256;

/// The operator's shell, as a focus.
pub(crate) const SHELL: usize = usize::MAX;

/// Never in focus.
const NOBODY: usize = usize::MAX - 1;

/// The physical console. Lock order: a device's slot, then this.
pub(crate) struct Console<H: Host> {
    host: &'static H,
    focus: AtomicUsize,
    output: Mutex<Output>,
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
            output: Mutex::new(Output {
                waiting: VecDeque::with_capacity(WAITING_BYTES),
                dropped: 0,
                is_at_line_start: true,
            }),
        }
    }

    /// Which VM has the console, or [`SHELL`].
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

    /// Writes one line of a VM in the background, with its name.
    pub(crate) fn write_line_of(&self, name: &str, line: &[u8]) {
        let mut output = self.output.lock();
        if !output.is_at_line_start {
            self.push(&mut output, b"\r\n");
        }
        self.push(&mut output, b"[");
        self.push(&mut output, name.as_bytes());
        self.push(&mut output, b"] ");
        self.push(&mut output, line);
        self.push(&mut output, b"\r\n");
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
            log::warn!(
                "console: {dropped} bytes were lost, the serial port is slower than the guests"
            );
        }
        false
    }
}

/// What a VM prints, on its way to the console.
pub(crate) struct Printer {
    vm: usize,
    name: &'static str,
    line: Mutex<Vec<u8>>,
}

impl Printer {
    pub(crate) fn new(vm: usize, name: &'static str) -> Self {
        Self {
            vm,
            name,
            line: Mutex::new(Vec::with_capacity(LINE_BYTES)),
        }
    }

    /// A printer whose VM never has the console to itself on its account.
    pub(crate) fn background(name: &'static str) -> Self {
        Self::new(NOBODY, name)
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
                console.write_line_of(self.name, &line);
                line.clear();
            }
            // Control characters, escape sequences among them, stay with their VM.
            0..0x20 | 0x7f => line.push(b'.'),
            _ => line.push(byte),
        }
        if line.len() >= LINE_BYTES {
            console.write_line_of(self.name, &line);
            line.clear();
        }
    }
}
