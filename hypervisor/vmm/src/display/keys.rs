//! From what a terminal sends to the keys of a PS/2 keyboard with US layout.
//!
//! Terminals: ECMA-48 and what xterm, rxvt and the Linux console add for keys. Keyboard: scan code set 2 of the IBM PS/2 technical
//! reference. A terminal tells of no release, only that a key was pressed, or is repeated.

use alloc::collections::VecDeque;
use device::Instant;

/// An Esc behind which nothing came for so long is the key, not the start of a sequence.
const ESCAPE_NS: u64 = 50_000_000;
/// The longest sequence; what is longer is no key.
const SEQUENCE_BYTES: usize = 16;

/// Precedes the codes of keys that an AT keyboard did not have.
const EXTENDED: u8 = 0xe0;
/// Precedes the code of a key that is let go.
const RELEASE: u8 = 0xf0;

/// A key: its code in set 2, and whether [`EXTENDED`] comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
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

    /// With the modifiers of a sequence: one more than the sum of 1 for Shift, 2 for Alt, 4 for Ctrl. (xterm, "PC-Style Function Keys")
    fn modified(self, parameter: u16) -> Self {
        let bits = parameter.saturating_sub(1);
        Self {
            shift: self.shift || bits & 1 != 0,
            alt: self.alt || bits & 2 != 0,
            ctrl: self.ctrl || bits & 4 != 0,
            ..self
        }
    }

    fn with_alt(self) -> Self {
        Self { alt: true, ..self }
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

    /// What the keyboard sends when the key goes down.
    pub(super) fn press(self, codes: &mut VecDeque<u8>) {
        for key in self.modifiers().chain([self.key]) {
            codes.extend(key.is_extended.then_some(EXTENDED));
            codes.push_back(key.code);
        }
    }

    /// What the keyboard sends again and again while it stays down.
    pub(super) fn repeat(self, codes: &mut VecDeque<u8>) {
        codes.extend(self.key.is_extended.then_some(EXTENDED));
        codes.push_back(self.key.code);
    }

    /// What the keyboard sends when it comes up again.
    pub(super) fn release(self, codes: &mut VecDeque<u8>) {
        for key in [self.key].into_iter().chain(self.modifiers().rev()) {
            codes.extend(key.is_extended.then_some(EXTENDED));
            codes.extend([RELEASE, key.code]);
        }
    }
}

/// The stroke that types one byte; None when no key does.
fn stroke_of(byte: u8) -> Option<Stroke> {
    let plain = |key| Some(Stroke::plain(key));
    match byte {
        0x08 | 0x7f => plain(BACKSPACE),
        b'\t' => plain(TAB),
        b'\r' | b'\n' => plain(ENTER),
        0x1b => plain(ESCAPE),
        // Ctrl takes bits 5 and 6 off.
        0x01..=0x1f => {
            let letter = match byte {
                0x1e => b'6',
                0x1f => b'-',
                _ => (byte | 0x40).to_ascii_lowercase(),
            };
            stroke_of(letter).map(|stroke| Stroke {
                ctrl: true,
                ..stroke
            })
        }
        0x00 => stroke_of(b' ').map(|stroke| Stroke {
            ctrl: true,
            ..stroke
        }),
        _ => PRINTING
            .iter()
            .find(|(_, alone, shifted)| [*alone, *shifted].contains(&byte))
            .map(|(code, alone, _)| Stroke {
                shift: *alone != byte,
                ..Stroke::plain(key(*code))
            }),
    }
}

/// How far into a sequence the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    /// Esc, at this time.
    Escape(Instant),
    /// Esc O.
    Ss3,
    /// Esc [, with two parameters and how many bytes so far.
    Csi {
        parameters: [u16; 2],
        second: bool,
        len: usize,
    },
    /// Esc [ [ of the Linux console.
    Console,
}

/// Takes bytes apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parser {
    state: State,
}

impl Parser {
    /// Takes a byte; returns the strokes it completes: an Esc before it, and its own.
    pub(super) fn take(&mut self, byte: u8, now: Instant) -> [Option<Stroke>; 2] {
        let late = self.expire(now);
        [late, self.step(byte, now)]
    }

    /// The Esc key, when nothing came behind it.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Stroke> {
        match self.state {
            State::Escape(at) if now.since_ns(at) >= ESCAPE_NS => {
                self.state = State::Outside;
                Some(Stroke::plain(ESCAPE))
            }
            _ => None,
        }
    }

    fn step(&mut self, byte: u8, now: Instant) -> Option<Stroke> {
        match core::mem::take(&mut self.state) {
            State::Outside if byte == 0x1b => {
                self.state = State::Escape(now);
                None
            }
            State::Outside => stroke_of(byte),
            State::Escape(_) => match byte {
                b'[' => {
                    self.state = State::Csi {
                        parameters: [0; 2],
                        second: false,
                        len: 0,
                    };
                    None
                }
                b'O' => {
                    self.state = State::Ss3;
                    None
                }
                // Twice Esc: once the key, and perhaps a sequence now.
                0x1b => {
                    self.state = State::Escape(now);
                    Some(Stroke::plain(ESCAPE))
                }
                _ => stroke_of(byte).map(Stroke::with_alt),
            },
            State::Ss3 => lettered(byte),
            State::Console => FUNCTION
                .get(usize::from(byte.wrapping_sub(b'A')))
                .filter(|_| byte <= b'E')
                .map(|code| Stroke::plain(key(*code))),
            State::Csi {
                mut parameters,
                mut second,
                len,
            } => {
                match byte {
                    b'[' if len == 0 => {
                        self.state = State::Console;
                        return None;
                    }
                    b'0'..=b'9' => {
                        let parameter = &mut parameters[usize::from(second)];
                        *parameter = parameter
                            .saturating_mul(10)
                            .saturating_add(u16::from(byte - b'0'));
                    }
                    b';' => second = true,
                    0x40..=0x7e => return sequence(parameters, byte),
                    _ => {}
                }
                if len < SEQUENCE_BYTES {
                    self.state = State::Csi {
                        parameters,
                        second,
                        len: len + 1,
                    };
                }
                None
            }
        }
    }
}

/// The key of a sequence `Esc [ … byte`.
fn sequence([first, second]: [u16; 2], byte: u8) -> Option<Stroke> {
    match byte {
        b'~' => numbered(first).map(|key| Stroke::plain(key).modified(second)),
        b'Z' => Some(Stroke::plain(TAB).modified(2)),
        _ => lettered(byte).map(|stroke| stroke.modified(second)),
    }
}

/// The key of a letter behind `Esc [` or `Esc O`.
fn lettered(byte: u8) -> Option<Stroke> {
    let key = match byte {
        b'A' => UP,
        b'B' => DOWN,
        b'C' => RIGHT,
        b'D' => LEFT,
        b'F' => END,
        b'H' => HOME,
        b'M' => ENTER,
        b'P'..=b'S' => key(FUNCTION[usize::from(byte - b'P')]),
        _ => return None,
    };
    Some(Stroke::plain(key))
}

/// The key of a number before `~`.
fn numbered(number: u16) -> Option<Key> {
    let function = |first: u16, number: u16| key(FUNCTION[usize::from(number - first)]);
    Some(match number {
        1 | 7 => HOME,
        2 => INSERT,
        3 => DELETE,
        4 | 8 => END,
        5 => PAGE_UP,
        6 => PAGE_DOWN,
        // Numbers are left out after F5 and after F10.
        11..=15 => function(11, number),
        17..=21 => function(12, number),
        23..=24 => function(13, number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
