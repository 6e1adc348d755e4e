//! The keyboard controller with its two ports.
//! (IBM PS/2 technical reference, "Keyboard and auxiliary device controller")

use crate::port::{in8, out8};
use crate::{Fail, Outcome, cpu, equal, that};

const DATA: u16 = 0x60;
const COMMAND: u16 = 0x64;
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
const FROM_MOUSE: u8 = 1 << 5;

const READ_MODE: u8 = 0x20;
const WRITE_MODE: u8 = 0x60;
const TO_MOUSE: u8 = 0xd4;

/// Mode: the keyboard's bytes raise IRQ 1.
pub const KEYBOARD_INTERRUPT: u8 = 1 << 0;
/// Mode: the mouse's bytes raise IRQ 12.
pub const MOUSE_INTERRUPT: u8 = 1 << 1;
/// Mode: the mouse's port is off.
pub const MOUSE_OFF: u8 = 1 << 5;

/// A port of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The first, and the controller's own answers.
    Keyboard,
    /// The second.
    Mouse,
}

/// Takes a byte, if there is one, and the port it came from.
#[must_use]
pub fn take() -> Option<(Port, u8)> {
    let status = in8(COMMAND);
    let from = if status & FROM_MOUSE == 0 {
        Port::Keyboard
    } else {
        Port::Mouse
    };
    (status & OUTPUT_FULL != 0).then(|| (from, in8(DATA)))
}

/// Reads port 0x60, whatever the status says.
#[must_use]
pub fn data_register() -> u8 {
    in8(DATA)
}

/// Writes a command to the controller.
///
/// # Errors
/// The controller does not take it.
pub fn command(command: u8) -> Outcome {
    write(COMMAND, command)
}

/// Writes a byte to the data port: to the keyboard, unless a command waits for it.
///
/// # Errors
/// The controller does not take it.
pub fn data(byte: u8) -> Outcome {
    write(DATA, byte)
}

/// Sends the mouse a byte.
///
/// # Errors
/// The controller does not take it.
pub fn to_mouse(byte: u8) -> Outcome {
    command(TO_MOUSE)?;
    data(byte)
}

fn write(port: u16, byte: u8) -> Outcome {
    let is_ready = || in8(COMMAND) & INPUT_FULL == 0;
    that("the controller takes nothing", cpu::poll(is_ready))?;
    out8(port, byte);
    Ok(())
}

/// Waits for the next byte of this port.
///
/// # Errors
/// There is none, or it is from the other port.
pub fn read(what: &'static str, from: Port) -> Result<u8, Fail> {
    let mut taken = None;
    let _ = cpu::poll(|| {
        taken = take();
        taken.is_some()
    });
    match taken {
        Some((port, byte)) if port == from => Ok(byte),
        Some((_, byte)) => Err(Fail::with("a byte from the other port", byte.into(), 0)),
        None => Err(Fail::new(what)),
    }
}

/// Waits for these bytes of this port, and for no more.
///
/// # Errors
/// Other bytes come, or too few, or too many.
pub fn expect(what: &'static str, from: Port, bytes: &[u8]) -> Outcome {
    for byte in bytes {
        equal(what, read(what, from)?.into(), (*byte).into())?;
    }
    for _ in 0..300 {
        if let Some((_, byte)) = take() {
            return Err(Fail::with("one byte too many", byte.into(), 0));
        }
    }
    Ok(())
}

/// Reads the mode, which others call the command byte.
///
/// # Errors
/// The controller does not answer.
pub fn mode() -> Result<u8, Fail> {
    command(READ_MODE)?;
    read("no mode", Port::Keyboard)
}

/// Writes the mode.
///
/// # Errors
/// The controller does not take it.
pub fn set_mode(mode: u8) -> Outcome {
    command(WRITE_MODE)?;
    data(mode)
}
