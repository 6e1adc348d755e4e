//! Text from a VM's debug ports. It has no view of its own: it comes as whole lines of the VM.

use crate::allowance::Allowance;
use crate::console::{Console, FULL_BYTES, LINE_BYTES};
use alloc::string::String;
use alloc::vec::Vec;
use board::TextEnd;
use host::Host;
use spin::Mutex;

/// As long as no more than this waits, each VM gets its share anew. A guest cannot be held back at these ports as it is at its UART:
/// however it floods them, room stays for UARTs.
const ROOM_BYTES: usize = FULL_BYTES / 2;

/// Makes lines of what is written to the debug ports.
pub(crate) struct LinePrinter<H: Host> {
    name: String,
    console: &'static Console<H>,
    line: Mutex<Vec<u8>>,
    /// What it may print while output waits; spent with `line` locked.
    allowance: Allowance,
}

impl<H: Host> LinePrinter<H> {
    pub(crate) fn new(name: &str, console: &'static Console<H>) -> Self {
        Self {
            name: name.into(),
            console,
            line: Mutex::new(Vec::with_capacity(LINE_BYTES)),
            allowance: Allowance::new(ROOM_BYTES),
        }
    }

    /// Gives it its share, as one of `count` VMs, when `waiting_bytes` leave room.
    pub(crate) fn renew_share(&self, waiting_bytes: usize, count: usize) {
        let room = ROOM_BYTES.saturating_sub(waiting_bytes);
        if room != 0 {
            self.allowance.renew(room, count);
        }
    }

    fn print(&self, line: &[u8]) {
        // As long as the serial port takes everything at once, nobody is in anybody's way.
        if self.console.waiting() != 0 {
            if self.allowance.is_spent() {
                self.console.drop_line(line);
                return;
            }
            // With what `Console` puts around it.
            let frame = self.name.len() + b"[] \r\n".len();
            self.allowance.spend((line.len() + frame) as u32);
        }
        self.console.write_line_of(&self.name, line);
    }
}

impl<H: Host> TextEnd for LinePrinter<H> {
    fn put(&self, byte: u8) {
        let mut line = self.line.lock();
        match byte {
            b'\r' | b'\n' => {}
            b'\t' => line.push(b' '),
            // Control characters, escape sequences among them, stay with their VM; above ASCII are more of them.
            0..0x20 | 0x7f.. => line.push(b'.'),
            _ => line.push(byte),
        }
        if byte == b'\n' || line.len() >= LINE_BYTES {
            self.print(&line);
            line.clear();
        }
    }

    fn end(&self) {
        let mut line = self.line.lock();
        if !line.is_empty() {
            self.print(&line);
            line.clear();
        }
    }
}
