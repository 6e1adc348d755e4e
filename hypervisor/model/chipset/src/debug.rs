//! Ports for tests and for firmware's chatter: text at 0xE9 and 0x402, a verdict at 0xF4. None of them is in a real PC.
//!
//! 0xE9 is Bochs' "port E9 hack", 0x402 what SeaBIOS and OVMF write their log to, 0xF4 the exit port test kernels know. Ports are
//! absolute. Both text ports answer 0xE9 to a read, which is how a guest finds them.

use crate::ring::Ring;
use device::{BadState, Device, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};

/// Text, as Bochs has it.
pub const DEBUG_PORT: u16 = *pc_map::ports::DEBUG.start();
/// Text, where firmware writes it.
pub const FIRMWARE_LOG_PORT: u16 = *pc_map::ports::FIRMWARE_LOG.start();
/// Verdict of a test guest.
pub const EXIT_PORT: u16 = *pc_map::ports::EXIT.start();

const PRESENT: u32 = 0xe9;

/// The text ports. Nothing in it is wiring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugPort {
    bytes: Ring<32>,
    written: u64,
}

impl Default for DebugPort {
    fn default() -> Self {
        Self::new()
    }
}

impl DebugPort {
    /// Nothing was written.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Ring::new(),
            written: 0,
        }
    }

    /// Takes the next byte of text; to be asked until it says no. What nobody takes is lost after 32 bytes.
    pub fn take_byte(&mut self) -> Option<u8> {
        self.bytes.pop()
    }
}

impl State for DebugPort {}

impl Persist for DebugPort {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        state.bytes.check()?;
        *self = state;
        Ok(())
    }
}

impl Device for DebugPort {
    fn reset(&mut self) {
        let Self { bytes, written } = self;
        (*bytes, *written) = (Ring::new(), 0);
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("bytes written", self.written);
    }
}

impl PioDevice for DebugPort {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (DEBUG_PORT | FIRMWARE_LOG_PORT, Width::Byte) => Ok(PRESENT),
            (DEBUG_PORT | FIRMWARE_LOG_PORT, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (DEBUG_PORT | FIRMWARE_LOG_PORT, Width::Byte) => {
                self.bytes.push(value as u8);
                self.written = self.written.saturating_add(1);
                Ok(())
            }
            (DEBUG_PORT | FIRMWARE_LOG_PORT, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }
}

/// The exit port. Nothing in it is wiring, and it can hold any verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitPort {
    verdict: Option<u32>,
}

impl ExitPort {
    /// Nobody has left.
    #[must_use]
    pub const fn new() -> Self {
        Self { verdict: None }
    }

    /// Takes the verdict: the value that was written.
    pub fn take_exit(&mut self) -> Option<u32> {
        self.verdict.take()
    }
}

impl State for ExitPort {}

impl Persist for ExitPort {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        *self = state;
        Ok(())
    }
}

impl Device for ExitPort {
    fn reset(&mut self) {
        let Self { verdict } = self;
        *verdict = None;
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("verdict", format_args!("{:?}", self.verdict));
    }
}

impl PioDevice for ExitPort {
    /// Reads zero: the port is there. `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (EXIT_PORT, Width::Byte | Width::Word | Width::Dword) => Ok(0),
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes the verdict, in any width. `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (EXIT_PORT, Width::Byte | Width::Word | Width::Dword) => {
                self.verdict = Some(width.truncate(u64::from(value)) as u32);
                Ok(())
            }
            _ => Err(Refused::NoRegister),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_in_order_and_the_port_can_be_found() {
        let mut port = DebugPort::new();
        assert_eq!(port.read(DEBUG_PORT, Width::Byte), Ok(0xe9));
        port.write(DEBUG_PORT, Width::Byte, u32::from(b'o'))
            .expect("0xe9");
        port.write(FIRMWARE_LOG_PORT, Width::Byte, u32::from(b'k'))
            .expect("0x402");
        assert_eq!(
            (port.take_byte(), port.take_byte()),
            (Some(b'o'), Some(b'k'))
        );
        assert_eq!(port.take_byte(), None);
    }

    #[test]
    fn the_verdict_is_what_was_written() {
        let mut port = ExitPort::new();
        port.write(EXIT_PORT, Width::Byte, 0x110).expect("0xf4");
        assert_eq!(port.take_exit(), Some(0x10));
        assert_eq!(port.take_exit(), None);
    }
}
