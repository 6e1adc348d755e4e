//! COM1, polled.

use crate::port;
use core::fmt;

/// COM1.
pub const COM1: u16 = 0x3f8;
/// Interrupt enable register.
pub const IER: u16 = COM1 + 1;
/// Interrupt identification register.
pub const IIR: u16 = COM1 + 2;
/// Line status register.
pub const LSR: u16 = COM1 + 5;
/// Scratch register.
pub const SCRATCH: u16 = COM1 + 7;

const DATA_READY: u8 = 1 << 0;
const THR_EMPTY: u8 = 1 << 5;
/// A UART that is never empty must not hold the test for ever.
const MAX_POLLS: u32 = 1_000_000;

/// Sends one byte.
pub fn send(byte: u8) {
    for _ in 0..MAX_POLLS {
        if port::in8(LSR) & THR_EMPTY != 0 {
            break;
        }
    }
    port::out8(COM1, byte);
}

/// Takes a byte that came, if one did.
#[must_use]
pub fn receive() -> Option<u8> {
    (port::in8(LSR) & DATA_READY != 0).then(|| port::in8(COM1))
}

/// Lets COM1 interrupt for each byte that comes.
pub fn interrupt_on_receive() {
    const MCR: u16 = COM1 + 4;
    const DTR_RTS_OUT2: u8 = 0b1011;
    const RECEIVED: u8 = 1 << 0;
    port::out8(MCR, DTR_RTS_OUT2);
    port::out8(IER, RECEIVED);
}

/// COM1 as a place to write text.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                send(b'\r');
            }
            send(byte);
        }
        Ok(())
    }
}

/// Prints a line on COM1.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        // Writing to COM1 does not fail.
        let _ = writeln!($crate::serial::Console, $($argument)*);
    }};
}
