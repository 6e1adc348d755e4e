//! PS/2 keyboard controller at 0x60 and 0x64, with a keyboard and without a mouse.
//!
//! Follows the 8042 command set of the IBM PS/2 technical reference ("Keyboard and auxiliary device controller"). Ports are
//! absolute. Whatever is asked of the mouse port is answered at once with "nobody there", so that nobody waits for it.

use crate::keyboard::{Keyboard, translate};
use crate::power::PowerRequest;
use crate::ring::Ring;
use device::{Device, Level, Page, PioDevice, Refused, Width};
use serde::{Deserialize, Serialize};
use time::Instant;

/// Data.
pub const I8042_DATA_PORT: u16 = 0x60;
/// Status when read, command when written.
pub const I8042_COMMAND_PORT: u16 = 0x64;

/// A keyboard's next byte follows this long after the last one was read, so that each makes its own edge.
const BYTE_NS: u64 = 100_000;

const STATUS_OUTPUT_FULL: u8 = 1 << 0;
const STATUS_COMMAND: u8 = 1 << 3;
const STATUS_UNLOCKED: u8 = 1 << 4;
const STATUS_AUX: u8 = 1 << 5;
const STATUS_TIMEOUT: u8 = 1 << 6;

const MODE_KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MODE_AUX_INTERRUPT: u8 = 1 << 1;
/// The self test passed; the same bit in the status register.
const MODE_SYSTEM: u8 = 1 << 2;
const MODE_KEYBOARD_OFF: u8 = 1 << 4;
const MODE_AUX_OFF: u8 = 1 << 5;
const MODE_TRANSLATE: u8 = 1 << 6;
/// As firmware leaves it: interrupt on, set 2 translated to set 1, no mouse.
const MODE_AT_START: u8 = MODE_KEYBOARD_INTERRUPT | MODE_SYSTEM | MODE_AUX_OFF | MODE_TRANSLATE;

/// A20 open, not in reset; the rest as wired.
const OUTPUT_AT_START: u8 = 0xcf;
const OUTPUT_NO_RESET: u8 = 1 << 0;

/// A byte in the output buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    byte: u8,
    /// [`STATUS_AUX`] and [`STATUS_TIMEOUT`], as it goes with the byte.
    status: u8,
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    now: Instant,
    mode: u8,
    output_port: u8,
    output: Option<Output>,
    /// Answers of the controller itself, which go before the keyboard's bytes.
    answers: Ring<4>,
    /// No keyboard byte before this.
    ready_at: Instant,
    /// The command whose data byte comes next at the data port.
    awaiting: Option<u8>,
    /// The last write went to the command port.
    was_command: bool,
    keyboard: Keyboard,
    /// Translation has seen 0xF0: the next code is a release.
    is_release: bool,
    is_reset_requested: bool,
}

impl Default for I8042 {
    fn default() -> Self {
        Self::new()
    }
}

impl I8042 {
    /// A controller that firmware has set up.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            now: Instant::from_ns(0),
            mode: MODE_AT_START,
            output_port: OUTPUT_AT_START,
            output: None,
            answers: Ring::new(),
            ready_at: Instant::from_ns(0),
            awaiting: None,
            was_command: false,
            keyboard: Keyboard::new(),
            is_release: false,
            is_reset_requested: false,
        }
    }

    /// The keyboard sends a byte of scan code set 2. Returns false when its buffer is full or scanning is off.
    pub fn key(&mut self, byte: u8) -> bool {
        let is_taken = self.keyboard.key(byte);
        self.refill();
        is_taken
    }

    /// Whether the keyboard scans its keys; else it takes none.
    #[must_use]
    pub const fn is_scanning(&self) -> bool {
        self.keyboard.is_scanning()
    }

    /// Takes the request for a reset, if there was one.
    pub fn take_request(&mut self) -> Option<PowerRequest> {
        core::mem::take(&mut self.is_reset_requested).then_some(PowerRequest::Reset)
    }

    /// IRQ 12: only what the guest loops back there itself.
    #[must_use]
    pub fn aux_line(&self) -> Level {
        Level::when(
            self.mode & MODE_AUX_INTERRUPT != 0
                && self
                    .output
                    .is_some_and(|output| output.status & STATUS_AUX != 0),
        )
    }

    /// Fills an empty output buffer.
    fn refill(&mut self) {
        if self.output.is_some() {
            return;
        }
        if let Some(byte) = self.answers.pop() {
            self.output = Some(Output { byte, status: 0 });
            return;
        }
        if self.mode & MODE_KEYBOARD_OFF != 0 || self.now < self.ready_at {
            return;
        }
        while let Some(byte) = self.keyboard.next_byte() {
            if self.mode & MODE_TRANSLATE == 0 {
                self.output = Some(Output { byte, status: 0 });
                return;
            }
            if byte == 0xf0 {
                self.is_release = true;
                continue;
            }
            let release = u8::from(core::mem::take(&mut self.is_release)) << 7;
            let byte = translate(byte) | release;
            self.output = Some(Output { byte, status: 0 });
            return;
        }
    }

    fn answer(&mut self, byte: u8) {
        self.answers.push(byte);
        self.refill();
    }

    fn write_output_port(&mut self, value: u8) {
        self.output_port = value;
        self.is_reset_requested |= value & OUTPUT_NO_RESET == 0;
    }

    fn status(&self) -> u8 {
        let mut status = STATUS_UNLOCKED | self.mode & MODE_SYSTEM;
        if let Some(output) = self.output {
            status |= STATUS_OUTPUT_FULL | output.status;
        }
        if self.was_command {
            status |= STATUS_COMMAND;
        }
        status
    }

    fn write_command(&mut self, command: u8) {
        self.was_command = true;
        self.awaiting = None;
        match command {
            0x20 => self.answer(self.mode),
            0x60 | 0xd1..=0xd4 => self.awaiting = Some(command),
            0xa7 => self.mode |= MODE_AUX_OFF,
            0xa8 => self.mode &= !MODE_AUX_OFF,
            // Test of the mouse port: its clock line is stuck, for there is no mouse.
            0xa9 => self.answer(0x01),
            0xaa => {
                self.mode |= MODE_SYSTEM;
                self.answer(0x55);
            }
            0xab => self.answer(0x00),
            0xad => self.mode |= MODE_KEYBOARD_OFF,
            0xae => {
                self.mode &= !MODE_KEYBOARD_OFF;
                self.refill();
            }
            // Input port: keyboard not locked.
            0xc0 => self.answer(0x80),
            0xd0 => self.answer(self.output_port),
            // Pulses the output port's low four bits that are zero; bit 0 is the reset line.
            0xf0..=0xff => self.is_reset_requested |= command & OUTPUT_NO_RESET == 0,
            _ => {}
        }
    }

    fn write_data(&mut self, value: u8) {
        self.was_command = false;
        match self.awaiting.take() {
            Some(0x60) => {
                self.mode = value;
                self.refill();
            }
            Some(0xd1) => self.write_output_port(value),
            // As if it came from the keyboard; from the mouse, too, because there is no such port to loop.
            Some(0xd2 | 0xd3) => self.answer(value),
            Some(_) => {
                // To the mouse: nobody answers there.
                self.output = Some(Output {
                    byte: 0xfe,
                    status: STATUS_AUX | STATUS_TIMEOUT,
                });
            }
            None => {
                self.mode &= !MODE_KEYBOARD_OFF;
                self.keyboard.command(value);
                self.refill();
            }
        }
    }
}

impl Device for I8042 {
    fn reset(&mut self) {
        let Self {
            now,
            mode,
            output_port,
            output,
            answers,
            ready_at,
            awaiting,
            was_command,
            keyboard,
            is_release,
            is_reset_requested,
        } = self;
        (*mode, *output_port) = (MODE_AT_START, OUTPUT_AT_START);
        (*output, *answers, *ready_at) = (None, Ring::new(), *now);
        (*awaiting, *was_command, *is_release) = (None, false, false);
        (*keyboard, *is_reset_requested) = (Keyboard::new(), false);
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        self.refill();
    }

    fn deadline(&self) -> Option<Instant> {
        let is_waiting = self.output.is_none()
            && self.mode & MODE_KEYBOARD_OFF == 0
            && self.keyboard.has_bytes();
        is_waiting.then_some(self.ready_at)
    }

    /// IRQ 1: stands while the output buffer holds a byte that is not the mouse's.
    fn line(&self) -> Level {
        Level::when(
            self.mode & MODE_KEYBOARD_INTERRUPT != 0
                && self
                    .output
                    .is_some_and(|output| output.status & STATUS_AUX == 0),
        )
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("mode", format_args!("{:#04x}", self.mode));
        page.line("status", format_args!("{:#04x}", self.status()));
        self.keyboard.inspect(page);
    }
}

impl PioDevice for I8042 {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (I8042_DATA_PORT, Width::Byte) => {
                let byte = self.output.take().map_or(0, |output| output.byte);
                self.ready_at = self.now.after_ns(BYTE_NS);
                // The controller's own answers follow at once: whoever asks, polls.
                self.refill();
                Ok(u32::from(byte))
            }
            (I8042_COMMAND_PORT, Width::Byte) => Ok(u32::from(self.status())),
            (I8042_DATA_PORT | I8042_COMMAND_PORT, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (I8042_DATA_PORT, Width::Byte) => self.write_data(value as u8),
            (I8042_COMMAND_PORT, Width::Byte) => self.write_command(value as u8),
            (I8042_DATA_PORT | I8042_COMMAND_PORT, _) => return Err(Refused::WrongWidth),
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
