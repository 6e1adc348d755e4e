//! PS/2 keyboard controller at 0x60 and 0x64, with a keyboard and a mouse.
//!
//! Follows the 8042 command set of the IBM PS/2 technical reference ("Keyboard and auxiliary device
//! controller"). Ports are absolute. There is one output buffer: the controller's own answers come
//! first, then keyboard and mouse in turn.

mod output;
mod state;

use crate::keyboard::{Keyboard, translate};
use crate::power::PowerRequest;
use crate::ps2_mouse::{Mouse, MouseButtons};
use device::{Device, Level, Page, PioDevice, Refused, Width};
use output::OutputBuffer;
use serde::{Deserialize, Serialize};
use time::{Instant, earliest};

/// Data.
pub const I8042_DATA_PORT: u16 = *pc_map::ports::KEYBOARD_DATA.start();
/// Status when read, command when written.
pub const I8042_COMMAND_PORT: u16 = *pc_map::ports::KEYBOARD_COMMAND.start();

const STATUS_OUTPUT_FULL: u8 = 1 << 0;
const STATUS_COMMAND: u8 = 1 << 3;
const STATUS_UNLOCKED: u8 = 1 << 4;
const STATUS_AUX: u8 = 1 << 5;

const MODE_KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MODE_AUX_INTERRUPT: u8 = 1 << 1;
/// The self test passed; the same bit in the status register.
const MODE_SYSTEM: u8 = 1 << 2;
const MODE_KEYBOARD_OFF: u8 = 1 << 4;
const MODE_AUX_OFF: u8 = 1 << 5;
const MODE_TRANSLATE: u8 = 1 << 6;
/// As firmware leaves it: interrupt on, set 2 translated to set 1, the mouse's port off.
const MODE_AT_START: u8 = MODE_KEYBOARD_INTERRUPT | MODE_SYSTEM | MODE_AUX_OFF | MODE_TRANSLATE;

/// A20 open, not in reset; the rest as wired.
const OUTPUT_AT_START: u8 = 0xcf;
const OUTPUT_NO_RESET: u8 = 1 << 0;
const OUTPUT_KEYBOARD_LINE: u8 = 1 << 4;
const OUTPUT_MOUSE_LINE: u8 = 1 << 5;

/// A device's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Port {
    Keyboard,
    Mouse,
}

impl Port {
    const fn other(self) -> Self {
        match self {
            Self::Keyboard => Self::Mouse,
            Self::Mouse => Self::Keyboard,
        }
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct I8042 {
    now: Instant,
    mode: u8,
    output_port: u8,
    output: OutputBuffer,
    /// The command whose data byte comes next at the data port.
    awaiting: Option<u8>,
    /// The last write went to the command port.
    was_command: bool,
    keyboard: Keyboard,
    mouse: Mouse,
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
            output: OutputBuffer::new(),
            awaiting: None,
            was_command: false,
            keyboard: Keyboard::new(),
            mouse: Mouse::new(),
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

    /// Returns whether the keyboard scans its keys; else it takes none.
    #[must_use]
    pub const fn is_scanning(&self) -> bool {
        self.keyboard.is_scanning()
    }

    /// Moves the mouse: counts to the right, counts upwards, and wheel steps towards the user. What
    /// the guest does not fetch adds up, within bounds.
    pub fn move_mouse(&mut self, right: i32, up: i32, wheel: i32) {
        self.mouse.count(right, up, wheel);
        self.refill();
    }

    /// Sets which buttons of the mouse are held down.
    pub fn set_mouse_buttons(&mut self, buttons: MouseButtons) {
        self.mouse.set_buttons(buttons);
        self.refill();
    }

    /// Returns whether the guest listens to the mouse.
    #[must_use]
    pub const fn is_mouse_reporting(&self) -> bool {
        self.mode & MODE_AUX_OFF == 0 && self.mouse.is_reporting()
    }

    /// Returns the level of IRQ 12: high while the output buffer holds a byte of the mouse's port.
    #[must_use]
    pub fn mouse_line(&self) -> Level {
        self.level_of(Port::Mouse, MODE_AUX_INTERRUPT)
    }

    /// Takes the request for a reset, if there was one.
    pub fn take_request(&mut self) -> Option<PowerRequest> {
        core::mem::take(&mut self.is_reset_requested).then_some(PowerRequest::Reset)
    }

    fn level_of(&self, port: Port, enable: u8) -> Level {
        Level::when(self.output.holds() == Some(port) && self.mode & enable != 0)
    }

    /// Fills an empty output buffer.
    fn refill(&mut self) {
        if self.output.ready_at().is_none_or(|at| self.now < at) {
            return;
        }
        for port in self.output.turns() {
            if let Some(byte) = self.take_from(port) {
                return self.output.fill(port, byte);
            }
        }
    }

    /// Takes a device's next byte, if its port is on.
    fn take_from(&mut self, port: Port) -> Option<u8> {
        match port {
            Port::Keyboard if self.mode & MODE_KEYBOARD_OFF == 0 => self.next_keyboard_byte(),
            Port::Mouse if self.mode & MODE_AUX_OFF == 0 => self.mouse.next_byte(self.now),
            Port::Keyboard | Port::Mouse => None,
        }
    }

    fn next_keyboard_byte(&mut self) -> Option<u8> {
        while let Some(byte) = self.keyboard.next_byte() {
            if self.mode & MODE_TRANSLATE == 0 {
                return Some(byte);
            }
            if byte == 0xf0 {
                self.is_release = true;
                continue;
            }
            let release = u8::from(core::mem::take(&mut self.is_release)) << 7;
            return Some(translate(byte) | release);
        }
        None
    }

    fn answer(&mut self, byte: u8) {
        self.output.answer(Port::Keyboard, byte);
    }

    /// Returns the output port; two of its pins are the interrupt lines.
    fn output_port(&self) -> u8 {
        let pin = |level: Level, bit: u8| if level.is_high() { bit } else { 0 };
        self.output_port & !(OUTPUT_KEYBOARD_LINE | OUTPUT_MOUSE_LINE)
            | pin(self.line(), OUTPUT_KEYBOARD_LINE)
            | pin(self.mouse_line(), OUTPUT_MOUSE_LINE)
    }

    fn write_output_port(&mut self, value: u8) {
        self.output_port = value;
        self.is_reset_requested |= value & OUTPUT_NO_RESET == 0;
    }

    fn status(&self) -> u8 {
        let mut status = STATUS_UNLOCKED | self.mode & MODE_SYSTEM;
        status |= match self.output.holds() {
            None => 0,
            Some(Port::Keyboard) => STATUS_OUTPUT_FULL,
            Some(Port::Mouse) => STATUS_OUTPUT_FULL | STATUS_AUX,
        };
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
            0xa8 => {
                self.mode &= !MODE_AUX_OFF;
                self.refill();
            }
            0xaa => {
                self.mode |= MODE_SYSTEM;
                self.answer(0x55);
            }
            // Tests of the mouse's port and the keyboard's: clock and data lines are free.
            0xa9 | 0xab => self.answer(0x00),
            0xad => self.mode |= MODE_KEYBOARD_OFF,
            0xae => {
                self.mode &= !MODE_KEYBOARD_OFF;
                self.refill();
            }
            // Input port: keyboard not locked.
            0xc0 => self.answer(0x80),
            0xd0 => self.answer(self.output_port()),
            // Pulses the output port's low four bits that are zero; bit 0 is the reset line.
            0xf0..=0xff => self.is_reset_requested |= command & OUTPUT_NO_RESET == 0,
            _ => {}
        }
    }

    fn read_data(&mut self) -> u8 {
        let byte = self.output.read(self.now);
        self.refill();
        byte
    }

    fn write_data(&mut self, value: u8) {
        self.was_command = false;
        match self.awaiting.take() {
            Some(0x60) => {
                self.mode = value;
                self.refill();
            }
            Some(0xd1) => self.write_output_port(value),
            // As if it came from the keyboard, and from the mouse.
            Some(0xd2) => self.answer(value),
            Some(0xd3) => self.output.answer(Port::Mouse, value),
            // To the mouse, whose port this switches on.
            Some(_) => {
                self.mode &= !MODE_AUX_OFF;
                self.mouse.command(value);
                self.refill();
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
            now: _,
            mode,
            output_port,
            output,
            awaiting,
            was_command,
            keyboard,
            mouse,
            is_release,
            is_reset_requested,
        } = self;
        (*mode, *output_port) = (MODE_AT_START, OUTPUT_AT_START);
        *output = OutputBuffer::new();
        (*awaiting, *was_command, *is_release) = (None, false, false);
        (*keyboard, *mouse) = (Keyboard::new(), Mouse::new());
        *is_reset_requested = false;
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        self.refill();
    }

    fn deadline(&self) -> Option<Instant> {
        let ready_at = self.output.ready_at()?;
        let has_key = self.mode & MODE_KEYBOARD_OFF == 0 && self.keyboard.has_bytes();
        let mouse_at = if self.mode & MODE_AUX_OFF == 0 {
            self.mouse.next_byte_at()
        } else {
            None
        };
        earliest(
            has_key.then_some(ready_at),
            mouse_at.map(|at| at.max(ready_at)),
        )
    }

    /// IRQ 1: high while the output buffer holds a byte that is not from the mouse's port.
    fn line(&self) -> Level {
        self.level_of(Port::Keyboard, MODE_KEYBOARD_INTERRUPT)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("mode", format_args!("{:#04x}", self.mode));
        page.line("status", format_args!("{:#04x}", self.status()));
        self.keyboard.inspect(page);
        self.mouse.inspect(page);
    }
}

impl PioDevice for I8042 {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (I8042_DATA_PORT, Width::Byte) => Ok(u32::from(self.read_data())),
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
