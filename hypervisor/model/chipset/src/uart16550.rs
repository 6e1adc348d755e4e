//! 16550A UART, as found at COM1: eight byte-wide registers, one interrupt line.
//!
//! Follows the PC16550D datasheet, section 8. Both FIFOs are 16 deep; baud rate and framing are stored and ignored. A byte
//! leaves as soon as it is written. The character timeout has no delay: what lies below the trigger level interrupts at once.
//! [`Device::line`] is the chip's INTR pin; the gate that some boards build from OUT2 is not in it.

mod state;

use crate::ring::Ring;
use device::{Device, Level, Page, PioDevice, Refused, Width};

const IER_RECEIVED: u8 = 1 << 0;
const IER_THR_EMPTY: u8 = 1 << 1;
const IER_LINE_STATUS: u8 = 1 << 2;
const IER_MODEM_STATUS: u8 = 1 << 3;

const LCR_DLAB: u8 = 1 << 7;

const MCR_DTR: u8 = 1 << 0;
const MCR_RTS: u8 = 1 << 1;
const MCR_OUT1: u8 = 1 << 2;
const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;

const LSR_DATA_READY: u8 = 1 << 0;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_BREAK: u8 = 1 << 4;
const LSR_ERRORS: u8 = 0b1_1110;
const LSR_THR_EMPTY: u8 = 1 << 5;
const LSR_IDLE: u8 = 1 << 6;
const LSR_FIFO_ERROR: u8 = 1 << 7;

const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;

const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RX: u8 = 1 << 1;
const FCR_CLEAR_TX: u8 = 1 << 2;

/// Trigger level, DMA mode and enable bit stay.
const FCR_KEPT: u8 = 0xc9;

const FIFO_BYTES: usize = 16;

/// Interrupt identification, in falling priority. (PC16550D table IV)
const IIR_LINE_STATUS: u8 = 0x6;
const IIR_RECEIVED: u8 = 0x4;
const IIR_TIMEOUT: u8 = 0xc;
const IIR_THR_EMPTY: u8 = 0x2;
const IIR_MODEM_STATUS: u8 = 0x0;
const IIR_NONE: u8 = 0x1;

/// The UART.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart16550 {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
    /// Error bits of LSR, until it is read.
    errors: u8,
    /// Delta bits of MSR, until it is read.
    deltas: u8,
    rx: Ring<FIFO_BYTES>,
    tx: Ring<FIFO_BYTES>,
    /// THR ran empty (or ETBEI was set) and nobody has seen it in IIR yet.
    thr_empty_pending: bool,
    /// The far end takes nothing: written bytes stay in the FIFO, and the guest sees them there.
    is_held_back: bool,
}

impl Default for Uart16550 {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart16550 {
    /// A UART with a cable to a ready terminal: CTS, DSR and DCD are asserted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            // 9600 baud, as firmware leaves it.
            divisor: [12, 0],
            errors: 0,
            deltas: 0,
            rx: Ring::new(),
            tx: Ring::new(),
            thr_empty_pending: false,
            is_held_back: false,
        }
    }

    /// Takes the next byte the guest has sent; to be asked until it says no.
    pub fn take_transmitted(&mut self) -> Option<u8> {
        let was_empty = self.is_thr_empty();
        let byte = self.tx.pop();
        self.note_thr_empty(was_empty);
        byte
    }

    /// Sets whether the far end is too slow; if it is, the guest sees its FIFO fill instead of an
    /// always ready transmitter.
    pub fn set_backpressure(&mut self, held_back: bool) {
        let was_empty = self.is_thr_empty();
        self.is_held_back = held_back;
        self.note_thr_empty(was_empty);
    }

    /// Returns the value last set by [`Self::set_backpressure`].
    #[must_use]
    pub const fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// A byte arrives from the far end. Returns false, and takes nothing, when the FIFO is full or the loop is closed.
    #[must_use = "an untaken byte is to be offered again"]
    pub fn receive(&mut self, byte: u8) -> bool {
        !self.is_loop() && self.rx.len() < self.rx_depth() && self.rx.push(byte)
    }

    const fn is_loop(&self) -> bool {
        self.mcr & MCR_LOOP != 0
    }

    const fn has_fifo(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    const fn rx_depth(&self) -> usize {
        if self.has_fifo() { FIFO_BYTES } else { 1 }
    }

    /// Bytes at which "received data available" interrupts. (PC16550D 8.4)
    const fn trigger(&self) -> usize {
        match (self.has_fifo(), self.fcr >> 6) {
            (false, _) | (true, 0) => 1,
            (true, 1) => 4,
            (true, 2) => 8,
            (true, _) => 14,
        }
    }

    const fn is_thr_empty(&self) -> bool {
        !self.is_held_back || self.tx.is_empty()
    }

    fn note_thr_empty(&mut self, was_empty: bool) {
        if !was_empty && self.is_thr_empty() {
            self.thr_empty_pending = true;
        }
    }

    /// Returns IIR's low four bits: the highest-priority enabled cause.
    fn cause(&self) -> u8 {
        if self.ier & IER_LINE_STATUS != 0 && self.errors != 0 {
            IIR_LINE_STATUS
        } else if self.ier & IER_RECEIVED != 0 && !self.rx.is_empty() {
            if self.rx.len() >= self.trigger() {
                IIR_RECEIVED
            } else {
                IIR_TIMEOUT
            }
        } else if self.ier & IER_THR_EMPTY != 0 && self.thr_empty_pending {
            IIR_THR_EMPTY
        } else if self.ier & IER_MODEM_STATUS != 0 && self.deltas != 0 {
            IIR_MODEM_STATUS
        } else {
            IIR_NONE
        }
    }

    /// Upper half of MSR: the modem's lines, or our own outputs while the loop is closed. (PC16550D 8.6, 8.9)
    const fn modem_lines(mcr: u8) -> u8 {
        if mcr & MCR_LOOP == 0 {
            return MSR_CTS | MSR_DSR | MSR_DCD;
        }
        let mut lines = 0;
        if mcr & MCR_RTS != 0 {
            lines |= MSR_CTS;
        }
        if mcr & MCR_DTR != 0 {
            lines |= MSR_DSR;
        }
        if mcr & MCR_OUT1 != 0 {
            lines |= MSR_RI;
        }
        if mcr & MCR_OUT2 != 0 {
            lines |= MSR_DCD;
        }
        lines
    }

    fn write_mcr(&mut self, value: u8) {
        let before = Self::modem_lines(self.mcr);
        self.mcr = value & 0x1f;
        let after = Self::modem_lines(self.mcr);
        // RI counts its trailing edge only.
        let changed = (before ^ after) & (MSR_CTS | MSR_DSR | MSR_DCD) | (before & !after & MSR_RI);
        self.deltas |= changed >> 4;
    }

    fn write_fcr(&mut self, value: u8) {
        // Switching the FIFOs on or off empties both.
        let toggled = (self.fcr ^ value) & FCR_ENABLE != 0;
        if toggled || value & FCR_CLEAR_RX != 0 {
            self.rx = Ring::new();
        }
        if toggled || value & FCR_CLEAR_TX != 0 {
            let was_empty = self.is_thr_empty();
            self.tx = Ring::new();
            self.note_thr_empty(was_empty);
        }
        // The other bits only take while the enable bit is written as one.
        self.fcr = if value & FCR_ENABLE != 0 {
            value & FCR_KEPT
        } else {
            0
        };
    }

    fn write_thr(&mut self, byte: u8) {
        self.thr_empty_pending = false;
        if self.is_loop() {
            if self.rx.len() >= self.rx_depth() || !self.rx.push(byte) {
                self.errors |= LSR_OVERRUN;
            }
            self.thr_empty_pending = true;
            return;
        }
        // A byte on top of a full FIFO is lost, as on the chip.
        self.tx.push(byte);
        if self.is_thr_empty() {
            self.thr_empty_pending = true;
        }
    }

    fn write_ier(&mut self, value: u8) {
        let value = value & 0xf;
        // An empty THR interrupts as soon as ETBEI is set, not only after the next byte: drivers probe for it.
        if value & !self.ier & IER_THR_EMPTY != 0 && self.is_thr_empty() {
            self.thr_empty_pending = true;
        }
        self.ier = value;
    }

    fn read_iir(&mut self) -> u8 {
        let cause = self.cause();
        if cause == IIR_THR_EMPTY {
            self.thr_empty_pending = false;
        }
        cause | if self.has_fifo() { 0xc0 } else { 0 }
    }

    fn line_status(&self) -> u8 {
        let mut lsr = self.errors;
        if !self.rx.is_empty() {
            lsr |= LSR_DATA_READY;
        }
        if self.is_thr_empty() {
            lsr |= LSR_THR_EMPTY | LSR_IDLE;
        }
        if self.has_fifo() && self.errors & LSR_BREAK != 0 {
            lsr |= LSR_FIFO_ERROR;
        }
        lsr
    }
}

impl Device for Uart16550 {
    fn reset(&mut self) {
        let Self {
            ier,
            fcr,
            lcr,
            mcr,
            scr: _, // Nothing resets the scratch register.
            divisor: _,
            errors,
            deltas,
            rx,
            tx,
            thr_empty_pending,
            is_held_back: _, // The far end's business.
        } = self;
        (*ier, *fcr, *lcr, *mcr, *errors, *deltas) = (0, 0, 0, 0, 0, 0);
        (*rx, *tx, *thr_empty_pending) = (Ring::new(), Ring::new(), false);
    }

    fn line(&self) -> Level {
        Level::when(self.cause() != IIR_NONE)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("ier", format_args!("{:#04x}", self.ier));
        page.line(
            "lcr mcr fcr",
            format_args!("{:#04x} {:#04x} {:#04x}", self.lcr, self.mcr, self.fcr),
        );
        page.line("lsr", format_args!("{:#04x}", self.line_status()));
        page.line("iir", format_args!("{:#x}", self.cause()));
        page.line(
            "unread, unsent",
            format_args!("{}, {} bytes", self.rx.len(), self.tx.len()),
        );
    }
}

impl PioDevice for Uart16550 {
    /// Reads one register.
    ///
    /// `at` is the offset from the base port, 0 to 7. As on the chip, reading RBR, IIR, LSR and MSR changes state.
    ///
    /// # Errors
    /// [`Refused::WrongWidth`] for anything but a byte.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let is_divisor = self.lcr & LCR_DLAB != 0;
        let value = match at {
            0 if is_divisor => self.divisor[0],
            1 if is_divisor => self.divisor[1],
            0 => self.rx.pop().unwrap_or(0),
            1 => self.ier,
            2 => self.read_iir(),
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let lsr = self.line_status();
                self.errors &= !LSR_ERRORS;
                lsr
            }
            6 => Self::modem_lines(self.mcr) | core::mem::take(&mut self.deltas),
            7 => self.scr,
            _ => return Err(Refused::NoRegister),
        };
        Ok(u32::from(value))
    }

    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let is_divisor = self.lcr & LCR_DLAB != 0;
        let value = value as u8;
        match at {
            0 if is_divisor => self.divisor[0] = value,
            1 if is_divisor => self.divisor[1] = value,
            0 => self.write_thr(value),
            1 => self.write_ier(value),
            2 => self.write_fcr(value),
            3 => self.lcr = value,
            4 => self.write_mcr(value),
            // LSR and MSR are for reading; writing them is a factory test.
            5 | 6 => {}
            7 => self.scr = value,
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
