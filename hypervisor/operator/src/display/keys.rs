//! From the keys of a terminal to those of a PS/2 keyboard with US layout: scan code set 2 of the
//! IBM PS/2 technical reference.

use alloc::collections::VecDeque;
use terminal::Press;

/// Precedes the codes of keys that an AT keyboard did not have.
const EXTENDED: u8 = 0xe0;
/// Precedes the code of a key that is let go.
const RELEASE: u8 = 0xf0;

/// A key: its code in set 2, and whether [`EXTENDED`] comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    code: u8,
    is_extended: bool,
}

const fn key(code: u8) -> Key {
    Key {
        code,
        is_extended: false,
    }
}

const fn extended(code: u8) -> Key {
    Key {
        code,
        is_extended: true,
    }
}

const LEFT_SHIFT: Key = key(0x12);
const LEFT_CTRL: Key = key(0x14);
const LEFT_ALT: Key = key(0x11);
const ESCAPE: Key = key(0x76);
const TAB: Key = key(0x0d);
const ENTER: Key = key(0x5a);
const BACKSPACE: Key = key(0x66);
const UP: Key = extended(0x75);
const DOWN: Key = extended(0x72);
const RIGHT: Key = extended(0x74);
const LEFT: Key = extended(0x6b);
const HOME: Key = extended(0x6c);
const END: Key = extended(0x69);
const INSERT: Key = extended(0x70);
const DELETE: Key = extended(0x71);
const PAGE_UP: Key = extended(0x7d);
const PAGE_DOWN: Key = extended(0x7a);
/// F1 to F12.
const FUNCTION: [u8; 12] = [
    0x05, 0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x78, 0x07,
];

/// A key's code with what it types alone and with Shift.
const PRINTING: [(u8, u8, u8); 48] = [
    (0x0e, b'`', b'~'),
    (0x16, b'1', b'!'),
    (0x1e, b'2', b'@'),
    (0x26, b'3', b'#'),
    (0x25, b'4', b'$'),
    (0x2e, b'5', b'%'),
    (0x36, b'6', b'^'),
    (0x3d, b'7', b'&'),
    (0x3e, b'8', b'*'),
    (0x46, b'9', b'('),
    (0x45, b'0', b')'),
    (0x4e, b'-', b'_'),
    (0x55, b'=', b'+'),
    (0x15, b'q', b'Q'),
    (0x1d, b'w', b'W'),
    (0x24, b'e', b'E'),
    (0x2d, b'r', b'R'),
    (0x2c, b't', b'T'),
    (0x35, b'y', b'Y'),
    (0x3c, b'u', b'U'),
    (0x43, b'i', b'I'),
    (0x44, b'o', b'O'),
    (0x4d, b'p', b'P'),
    (0x54, b'[', b'{'),
    (0x5b, b']', b'}'),
    (0x5d, b'\\', b'|'),
    (0x1c, b'a', b'A'),
    (0x1b, b's', b'S'),
    (0x23, b'd', b'D'),
    (0x2b, b'f', b'F'),
    (0x34, b'g', b'G'),
    (0x33, b'h', b'H'),
    (0x3b, b'j', b'J'),
    (0x42, b'k', b'K'),
    (0x4b, b'l', b'L'),
    (0x4c, b';', b':'),
    (0x52, b'\'', b'"'),
    (0x1a, b'z', b'Z'),
    (0x22, b'x', b'X'),
    (0x21, b'c', b'C'),
    (0x2a, b'v', b'V'),
    (0x32, b'b', b'B'),
    (0x31, b'n', b'N'),
    (0x3a, b'm', b'M'),
    (0x41, b',', b'<'),
    (0x49, b'.', b'>'),
    (0x4a, b'/', b'?'),
    (0x29, b' ', b' '),
];

/// A key with the modifiers held beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    key: Key,
    shift: bool,
    alt: bool,
    ctrl: bool,
}

impl Stroke {
    const fn plain(key: Key) -> Self {
        Self {
            key,
            shift: false,
            alt: false,
            ctrl: false,
        }
    }

    /// Returns the stroke for a press; None when this keyboard has no such key.
    pub(super) fn of(press: Press) -> Option<Self> {
        let plain = match press.key {
            terminal::Key::Symbol(symbol) => typing(symbol)?,
            terminal::Key::Control(symbol) => Self {
                ctrl: true,
                ..typing(match symbol {
                    // Control takes Shift along where the symbol would need it.
                    '^' => '6',
                    '_' => '-',
                    symbol => symbol,
                })?
            },
            terminal::Key::Enter => Self::plain(ENTER),
            terminal::Key::Tab => Self::plain(TAB),
            terminal::Key::Escape => Self::plain(ESCAPE),
            terminal::Key::Backspace => Self::plain(BACKSPACE),
            terminal::Key::Insert => Self::plain(INSERT),
            terminal::Key::Delete => Self::plain(DELETE),
            terminal::Key::Up => Self::plain(UP),
            terminal::Key::Down => Self::plain(DOWN),
            terminal::Key::Left => Self::plain(LEFT),
            terminal::Key::Right => Self::plain(RIGHT),
            terminal::Key::Home => Self::plain(HOME),
            terminal::Key::End => Self::plain(END),
            terminal::Key::PageUp => Self::plain(PAGE_UP),
            terminal::Key::PageDown => Self::plain(PAGE_DOWN),
            terminal::Key::Function(number) => {
                let code = FUNCTION.get(usize::from(number.checked_sub(1)?))?;
                Self::plain(key(*code))
            }
        };
        Some(Self {
            shift: plain.shift || press.shift,
            alt: plain.alt || press.alt,
            ctrl: plain.ctrl || press.ctrl,
            ..plain
        })
    }

    fn modifiers(self) -> impl DoubleEndedIterator<Item = Key> {
        [
            (self.ctrl, LEFT_CTRL),
            (self.alt, LEFT_ALT),
            (self.shift, LEFT_SHIFT),
        ]
        .into_iter()
        .filter_map(|(is_held, key)| is_held.then_some(key))
    }

    /// Adds what the keyboard sends when the key goes down.
    pub(super) fn press(self, codes: &mut VecDeque<u8>) {
        for key in self.modifiers().chain([self.key]) {
            codes.extend(key.is_extended.then_some(EXTENDED));
            codes.push_back(key.code);
        }
    }

    /// Adds what the keyboard sends again and again while the key stays down.
    pub(super) fn repeat(self, codes: &mut VecDeque<u8>) {
        codes.extend(self.key.is_extended.then_some(EXTENDED));
        codes.push_back(self.key.code);
    }

    /// Adds what the keyboard sends when the key comes up again.
    pub(super) fn release(self, codes: &mut VecDeque<u8>) {
        for key in [self.key].into_iter().chain(self.modifiers().rev()) {
            codes.extend(key.is_extended.then_some(EXTENDED));
            codes.extend([RELEASE, key.code]);
        }
    }
}

/// Returns the stroke that types a symbol; None when no key does.
fn typing(symbol: char) -> Option<Stroke> {
    let byte = u8::try_from(symbol).ok()?;
    PRINTING
        .iter()
        .find(|(_, alone, shifted)| [*alone, *shifted].contains(&byte))
        .map(|(code, alone, _)| Stroke {
            shift: *alone != byte,
            ..Stroke::plain(key(*code))
        })
}

#[cfg(test)]
mod tests;
