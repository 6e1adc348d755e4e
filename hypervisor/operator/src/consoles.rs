//! The outputs of all sessions: what goes to each of them.

use crate::console::{Console, MAX_LINE_BYTES};
use alloc::vec::Vec;
use host::Host;
use spin::Mutex;

/// The longest that the end of the machine waits for slow serial ports.
const DRAIN_NS: u64 = 3_000_000_000;

/// The outputs of all sessions.
pub(crate) struct Consoles<H: Host> {
    host: &'static H,
    list: Vec<Console<H>>,
    /// A message of the hypervisor that comes in pieces.
    message: Mutex<Vec<u8>>,
}

/// A sink for the hypervisor's own messages.
pub(crate) trait MessageSink: Sync {
    /// Takes a piece of a message; a newline ends it.
    fn take(&self, text: &str);
}

impl<H: Host> MessageSink for Consoles<H> {
    fn take(&self, text: &str) {
        let mut message = self.message.lock();
        for byte in text.bytes() {
            if byte == b'\n' || message.len() == MAX_LINE_BYTES {
                self.list
                    .iter()
                    .for_each(|console| console.write_line(&[&message]));
                message.clear();
            }
            if byte != b'\n' {
                message.push(byte);
            }
        }
    }
}

impl<H: Host> Consoles<H> {
    /// Makes one for each of the machine's terminals.
    pub(crate) fn new(host: &'static H) -> Self {
        let terminals = host.terminals().iter();
        Self {
            host,
            list: terminals.map(|it| Console::new(host, *it)).collect(),
            message: Mutex::new(Vec::with_capacity(MAX_LINE_BYTES)),
        }
    }

    /// Iterates over all of them.
    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Console<H>> {
        self.list.iter()
    }

    /// Iterates over those that show the serial port of this VM.
    pub(crate) fn showing_serial_of(&self, vm: usize) -> impl Iterator<Item = &Console<H>> {
        self.iter().filter(move |it| it.shows_serial_of(vm))
    }

    /// Returns how much waits for the slowest terminal, in bytes.
    ///
    /// Lines of each VM go to every terminal, so that the slowest one holds all guests back; a
    /// screen holds none.
    pub(crate) fn waiting(&self) -> usize {
        self.iter().map(Console::waiting).max().unwrap_or_default()
    }

    /// Passes on what waits. Returns whether some still does.
    pub(crate) fn flush(&self) -> bool {
        self.iter().fold(false, |waits, it| it.flush() | waits)
    }

    /// Passes on all that waits, for a while at most: before the machine ends.
    pub(crate) fn drain(&self) {
        let end = self.host.now().after_ns(DRAIN_NS);
        while self.flush() && self.host.now() < end {
            core::hint::spin_loop();
        }
    }
}
