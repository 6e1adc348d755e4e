//! The PS/2 keyboard, polled: what is typed, as a terminal would send it.
//!
//! The 8042 gives one scan code at a time, in set 1, as firmware leaves its translation. (IBM PS/2
//! Technical Reference, keyboard and auxiliary device controller)
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod sequence;

use hardware::Registers;
use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, KeyCode, KeyState, PS2Keyboard, ScancodeSet1};

const OUTPUT_FULL: u8 = 1 << 0;
const FROM_MOUSE: u8 = 1 << 5;
/// Value that a port without a device reads as.
const ABSENT: u8 = 0xff;
/// Byte that a terminal sends for Ctrl-].
const GROUP_SEPARATOR: u8 = 0x1d;

/// A keyboard at a controller, whose data and status ports lie apart.
pub struct Keyboard<R> {
    data: R,
    status: R,
    decoder: PS2Keyboard<Us104Key, ScancodeSet1>,
    is_control_down: bool,
    /// Bytes of an escape sequence not yet returned.
    pending: &'static [u8],
}

impl<R: Registers> Keyboard<R> {
    /// Takes the keyboard, where a controller answers at all. Both ports are only read.
    pub fn find(data: R, status: R) -> Option<Self> {
        if status.read_u8(0).ok()? == ABSENT {
            return None;
        }
        let decoder = PS2Keyboard::new(
            ScancodeSet1::new(),
            Us104Key,
            HandleControl::MapLettersToUnicode,
        );
        Some(Self {
            data,
            status,
            decoder,
            is_control_down: false,
            pending: &[],
        })
    }

    /// Returns the next byte that was typed. Takes one scan code at most.
    pub fn read(&mut self) -> Option<u8> {
        if let [first, rest @ ..] = self.pending {
            self.pending = rest;
            return Some(*first);
        }
        let status = self.status.read_u8(0).ok()?;
        if status == ABSENT || status & OUTPUT_FULL == 0 {
            return None;
        }
        let code = self.data.read_u8(0).ok()?;
        if status & FROM_MOUSE != 0 {
            return None;
        }
        let event = self.decoder.add_byte(code).ok()??;
        if matches!(event.code, KeyCode::LControl | KeyCode::RControl) {
            self.is_control_down = event.state == KeyState::Down;
        }
        if self.is_control_down && event.code == KeyCode::Oem6 && event.state == KeyState::Down {
            return Some(GROUP_SEPARATOR);
        }
        match self.decoder.process_keyevent(event)? {
            DecodedKey::Unicode('\n') => Some(b'\r'),
            DecodedKey::Unicode(symbol) => u8::try_from(symbol).ok(),
            DecodedKey::RawKey(code) => {
                let (first, rest) = sequence::of(code).split_first()?;
                self.pending = rest;
                Some(*first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use hardware::TestRegisters;
    use std::vec::Vec;
    use x86::Width;

    /// A controller with scan codes in its buffer.
    struct Controller {
        data: TestRegisters,
        status: TestRegisters,
    }

    impl Controller {
        fn with(codes: &[u8]) -> Self {
            Self::with_status(codes, OUTPUT_FULL)
        }

        fn with_status(codes: &[u8], status: u8) -> Self {
            let controller = Self {
                data: TestRegisters::new(1),
                status: TestRegisters::new(1),
            };
            // The first look at the status finds the controller.
            let full = codes.iter().map(|_| status.into());
            controller.status.script(0, core::iter::once(0).chain(full));
            controller
                .data
                .script(0, codes.iter().copied().map(u64::from));
            controller
        }

        /// Everything that comes of its scan codes.
        fn typed(&self, codes: usize) -> Vec<u8> {
            let mut keyboard = Keyboard::find(&self.data, &self.status).expect("it answers");
            // No key sends more than five bytes.
            (0..codes * 6).filter_map(|_| keyboard.read()).collect()
        }
    }

    fn typed(codes: &[u8]) -> Vec<u8> {
        Controller::with(codes).typed(codes.len())
    }

    #[test]
    fn letters_come_on_press_and_shift_makes_them_large() {
        assert_eq!(typed(&[0x1e, 0x9e]), b"a");
        assert_eq!(typed(&[0x2a, 0x1e, 0x9e, 0xaa, 0x1e]), b"Aa");
    }

    #[test]
    fn enter_is_a_carriage_return() {
        assert_eq!(typed(&[0x1c, 0x9c]), b"\r");
    }

    #[test]
    fn control_makes_control_characters() {
        // Ctrl-C; Ctrl-]; then ] alone.
        assert_eq!(typed(&[0x1d, 0x2e, 0xae, 0x9d]), [0x03]);
        assert_eq!(typed(&[0x1d, 0x1b, 0x9b, 0x9d, 0x1b]), [0x1d, b']']);
    }

    #[test]
    fn keys_without_a_letter_send_sequences() {
        assert_eq!(typed(&[0xe0, 0x48, 0xe0, 0xc8]), b"\x1b[A");
        assert_eq!(typed(&[0x3f, 0xbf, 0x1e]), b"\x1b[15~a");
    }

    #[test]
    fn what_the_mouse_sends_is_dropped() {
        let codes = [0x1e, 0x1e];
        let controller = Controller::with_status(&codes, OUTPUT_FULL | FROM_MOUSE);
        assert_eq!(controller.typed(codes.len()), []);
        assert_eq!(controller.data.take_accesses().len(), 2, "but taken");
    }

    #[test]
    fn nothing_is_read_from_an_empty_or_absent_controller() {
        let (data, status) = (TestRegisters::new(1), TestRegisters::new(1));
        let mut keyboard = Keyboard::find(&data, &status).expect("it answers");
        assert_eq!(keyboard.read(), None);
        status.set(0, Width::Byte, ABSENT.into());
        assert_eq!(keyboard.read(), None);
        assert_eq!(data.take_accesses(), []);
        assert!(Keyboard::find(&data, &status).is_none());
    }

    #[test]
    fn no_scan_code_is_too_much() {
        let codes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        // Reaching the end is what counts: no byte stops it.
        let controller = Controller::with(&codes);
        let _ = controller.typed(codes.len());
        assert_eq!(controller.data.take_accesses().len(), codes.len());
    }
}
