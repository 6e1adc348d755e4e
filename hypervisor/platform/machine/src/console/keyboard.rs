//! The PS/2 keyboard, polled. (8042; scan code set 1, as firmware leaves the controller's translation)

use cpu::IoPorts;
use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, KeyCode, KeyState, PS2Keyboard, ScancodeSet1};

// SAFETY: the controller's data port; it is only read. Its status port lies apart: those between
// are others'.
const DATA: IoPorts = unsafe { IoPorts::claim(0x60, 1) }.expect("below the last port");
// SAFETY: the controller's status port; it is only read.
const STATUS: IoPorts = unsafe { IoPorts::claim(0x64, 1) }.expect("below the last port");

const OUTPUT_FULL: u8 = 1 << 0;
const FROM_MOUSE: u8 = 1 << 5;
/// What a terminal sends for Ctrl-].
const GROUP_SEPARATOR: u8 = 0x1d;

pub(super) struct Keyboard {
    decoder: PS2Keyboard<Us104Key, ScancodeSet1>,
    is_control_down: bool,
    /// What is left of an escape sequence.
    pending: &'static [u8],
}

impl Keyboard {
    /// A keyboard, where a controller answers at all.
    pub(super) fn find() -> Option<Self> {
        if STATUS.read_u8(0) == 0xff {
            return None;
        }
        let decoder = PS2Keyboard::new(
            ScancodeSet1::new(),
            Us104Key,
            HandleControl::MapLettersToUnicode,
        );
        Some(Self {
            decoder,
            is_control_down: false,
            pending: &[],
        })
    }

    /// The next byte that was typed. Takes one scan code at most.
    pub(super) fn read(&mut self) -> Option<u8> {
        if let [first, rest @ ..] = self.pending {
            self.pending = rest;
            return Some(*first);
        }
        let status = STATUS.read_u8(0);
        if status == 0xff || status & OUTPUT_FULL == 0 {
            return None;
        }
        let code = DATA.read_u8(0);
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
                let (first, rest) = sequence(code).split_first()?;
                self.pending = rest;
                Some(*first)
            }
        }
    }
}

/// What a VT100 sends for keys without a letter.
fn sequence(code: KeyCode) -> &'static [u8] {
    match code {
        KeyCode::ArrowUp => b"\x1b[A",
        KeyCode::ArrowDown => b"\x1b[B",
        KeyCode::ArrowRight => b"\x1b[C",
        KeyCode::ArrowLeft => b"\x1b[D",
        KeyCode::Home => b"\x1b[H",
        KeyCode::End => b"\x1b[F",
        KeyCode::PageUp => b"\x1b[5~",
        KeyCode::PageDown => b"\x1b[6~",
        KeyCode::Insert => b"\x1b[2~",
        KeyCode::F1 => b"\x1bOP",
        KeyCode::F2 => b"\x1bOQ",
        KeyCode::F3 => b"\x1bOR",
        KeyCode::F4 => b"\x1bOS",
        KeyCode::F5 => b"\x1b[15~",
        KeyCode::F6 => b"\x1b[17~",
        KeyCode::F7 => b"\x1b[18~",
        KeyCode::F8 => b"\x1b[19~",
        KeyCode::F9 => b"\x1b[20~",
        KeyCode::F10 => b"\x1b[21~",
        KeyCode::F11 => b"\x1b[23~",
        KeyCode::F12 => b"\x1b[24~",
        _ => b"",
    }
}
