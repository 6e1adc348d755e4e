//! A PS/2 keyboard, and the controller's translation of its scan codes.
//!
//! Follows the IBM PS/2 technical reference, "Keyboard": commands from the system, scan code sets 1 and 2.

use crate::ring::Ring;
use device::{BadState, Page};
use serde::{Deserialize, Serialize};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;

/// The keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keyboard {
    queue: Ring<32>,
    /// The command whose parameter comes next.
    awaiting: Option<u8>,
    is_scanning: bool,
    scan_set: u8,
    leds: u8,
    last: u8,
}

impl Keyboard {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Ring::new(),
            awaiting: None,
            is_scanning: true,
            scan_set: 2,
            leds: 0,
            last: 0,
        }
    }

    /// Checks one that was saved.
    pub(crate) fn check(&self) -> Result<(), BadState> {
        self.queue.check()?;
        BadState::unless(
            matches!(self.awaiting, None | Some(0xed | 0xf0 | 0xf3 | 0xfb..=0xfd)),
            "the keyboard awaits what no command has",
        )?;
        BadState::unless(
            self.scan_set == 2 && self.leds <= 7,
            "the keyboard has other codes or lights",
        )
    }

    /// Writes down what an operator wants to see.
    pub(crate) fn inspect(&self, page: &mut Page<'_>) {
        let scans = if self.is_scanning { "on" } else { "off" };
        page.line(
            "keyboard",
            format_args!(
                "scanning {scans}, code set {}, LEDs {:#x}, {} bytes wait",
                self.scan_set,
                self.leds,
                self.queue.len()
            ),
        );
    }

    /// A key's byte; false when nobody wants it or it does not fit.
    pub(crate) fn key(&mut self, byte: u8) -> bool {
        // Room is left for answers to commands.
        self.is_scanning && self.queue.len() < 24 && self.queue.push(byte)
    }

    /// Returns whether keys are wanted.
    pub(crate) const fn is_scanning(&self) -> bool {
        self.is_scanning
    }

    pub(crate) const fn has_bytes(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn next_byte(&mut self) -> Option<u8> {
        let byte = self.queue.pop()?;
        self.last = byte;
        Some(byte)
    }

    fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.queue.push(*byte);
        }
    }

    /// A byte from the system.
    pub(crate) fn command(&mut self, value: u8) {
        if let Some(command) = self.awaiting.take()
            && value < 0xed
        {
            return self.parameter(command, value);
        }
        match value {
            0xed | 0xf0 | 0xf3 | 0xfb..=0xfd => {
                self.awaiting = Some(value);
                self.send(&[ACK]);
            }
            0xee => self.send(&[0xee]),
            0xf2 => self.send(&[ACK, 0xab, 0x83]),
            0xf4 => {
                self.is_scanning = true;
                self.send(&[ACK]);
            }
            0xf5 | 0xf6 => {
                self.is_scanning = value == 0xf6;
                self.scan_set = 2;
                self.queue = Ring::new();
                self.send(&[ACK]);
            }
            0xf7..=0xfa => self.send(&[ACK]),
            0xfe => {
                let last = self.last;
                self.send(&[last]);
            }
            0xff => {
                *self = Self::new();
                self.send(&[ACK, SELF_TEST_PASSED]);
            }
            _ => self.send(&[RESEND]),
        }
    }

    fn parameter(&mut self, command: u8, value: u8) {
        match (command, value) {
            (0xed, leds) => {
                self.leds = leds & 7;
                self.send(&[ACK]);
            }
            (0xf0, 0) => {
                let set = self.scan_set;
                self.send(&[ACK, set]);
            }
            // Keys arrive as set 2 whatever is chosen; sets 1 and 3 are refused.
            (0xf0, 2) => self.send(&[ACK]),
            (0xf0, _) => self.send(&[RESEND]),
            _ => self.send(&[ACK]),
        }
    }
}

/// Scan code set 1's code for each code of set 2 below 0x80.
const SET_2_TO_1: [u8; 128] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
];

/// Returns what the controller makes of a byte of set 2.
pub(crate) fn translate(byte: u8) -> u8 {
    match byte {
        0x83 => 0x41,
        0x84 => 0x54,
        _ => SET_2_TO_1.get(usize::from(byte)).copied().unwrap_or(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_translated_and_answers_pass() {
        assert_eq!(translate(0x1c), 0x1e); // A
        assert_eq!(translate(0x5a), 0x1c); // Enter
        assert_eq!(translate(ACK), ACK);
        assert_eq!(translate(0xe0), 0xe0);
    }

    #[test]
    fn a_parameter_belongs_to_its_command() {
        let mut keyboard = Keyboard::new();
        keyboard.command(0xed);
        keyboard.command(0x02);
        keyboard.command(0xf0);
        keyboard.command(0x00);
        let mut answers = [0; 5];
        for byte in &mut answers {
            *byte = keyboard.next_byte().expect("an answer");
        }
        assert_eq!(answers, [ACK, ACK, ACK, ACK, 2]);
        assert_eq!(keyboard.leds, 2);
    }
}
