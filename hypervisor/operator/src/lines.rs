//! Text from a VM's debug ports. It has no view of its own: it comes as whole lines of the VM, to
//! every session.

use crate::allowance::Allowance;
use crate::console::{FULL_BYTES, MAX_LINE_BYTES};
use crate::consoles::Consoles;
use alloc::string::String;
use alloc::vec::Vec;
use board::TextEnd;
use host::Host;
use spin::Mutex;

/// As long as no more than this waits, each VM gets its share anew. A guest cannot be held back at
/// these ports as it is at its UART: however it floods them, room stays for UARTs.
const ROOM_BYTES: usize = FULL_BYTES / 2;

/// Makes lines of what is written to the debug ports.
pub(crate) struct LinePrinter<H: Host> {
    name: String,
    consoles: &'static Consoles<H>,
    line: Mutex<Vec<u8>>,
    /// The VM's share while output waits; spent with `line` locked.
    allowance: Allowance,
}

impl<H: Host> LinePrinter<H> {
    pub(crate) fn new(name: &str, consoles: &'static Consoles<H>) -> Self {
        Self {
            name: name.into(),
            consoles,
            line: Mutex::new(Vec::with_capacity(MAX_LINE_BYTES)),
            allowance: Allowance::new(ROOM_BYTES),
        }
    }

    /// Renews its share, as one of `count` VMs, when `waiting_bytes` leave room.
    pub(crate) fn renew_share(&self, waiting_bytes: usize, count: usize) {
        let room = ROOM_BYTES.saturating_sub(waiting_bytes);
        if room != 0 {
            self.allowance.renew(room, count);
        }
    }

    fn print(&self, line: &[u8]) {
        // As long as the terminals take everything at once, no VM is in another's way.
        let is_spent = self.consoles.waiting() != 0 && self.allowance.is_spent();
        if self.consoles.waiting() != 0 && !is_spent {
            // With what `Console` puts around it.
            let frame = self.name.len() + b"[] \r\n".len();
            self.allowance.spend((line.len() + frame) as u32);
        }
        for console in self.consoles.iter() {
            // Others need not miss what one is too slow for.
            if is_spent && console.waiting() != 0 {
                console.drop_line(line);
            } else {
                console.write_line_of(&self.name, line);
            }
        }
    }
}

impl<H: Host> TextEnd for LinePrinter<H> {
    fn put(&self, byte: u8) {
        let mut line = self.line.lock();
        match byte {
            b'\r' | b'\n' => {}
            b'\t' => line.push(b' '),
            // Control characters, escape sequences among them, stay with their VM; above ASCII are
            // more of them.
            0..0x20 | 0x7f.. => line.push(b'.'),
            _ => line.push(byte),
        }
        if byte == b'\n' || line.len() >= MAX_LINE_BYTES {
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
