//! Input of an operator, key by key.
//!
//! A terminal says most keys in one byte, and the others in the sequences of ECMA-48, to which xterm, rxvt and the Linux console have each
//! added their own. It tells of no release, only that a key was pressed, or is repeated.

#[cfg(test)]
mod tests;

use vte::{Params, Parser, Perform};

/// A key, or a symbol from several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A symbol.
    Symbol(char),
    /// Control and this small letter, space, or one of `\`, `]`, `^` and `_`.
    Control(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Esc alone.
    Escape,
    /// Erases the symbol before the cursor.
    Backspace,
    /// Overwrites, or not.
    Insert,
    /// Erases the symbol under the cursor.
    Delete,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// To the start.
    Home,
    /// To the end.
    End,
    /// A screenful back.
    PageUp,
    /// A screenful on.
    PageDown,
    /// F1 to F12, by its number.
    Function(u8),
}

/// A key, and what is held beside it as far as the terminal says so: Shift with a symbol is in the symbol, Control with a letter in
/// [`Key::Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// The key.
    pub key: Key,
    /// Shift is held.
    pub shift: bool,
    /// Alt is held.
    pub alt: bool,
    /// Control is held.
    pub ctrl: bool,
}

impl From<Key> for Press {
    /// The key alone.
    fn from(key: Key) -> Self {
        Self {
            key,
            shift: false,
            alt: false,
            ctrl: false,
        }
    }
}

impl Press {
    /// With the modifiers of a sequence: one more than the sum of 1 for Shift, 2 for Alt, 4 for Control. (XTerm Control Sequences,
    /// "PC-Style Function Keys")
    fn modified(key: Key, parameter: u16) -> Self {
        let bits = parameter.saturating_sub(1);
        Self {
            key,
            shift: bits & 1 != 0,
            alt: bits & 2 != 0,
            ctrl: bits & 4 != 0,
        }
    }
}

/// Takes keys apart. Sequences it does not know, a terminal's answers among them, vanish whole.
#[derive(Default)]
pub struct Keys {
    state: State,
    /// Byte that was taken last, when it began a sequence but may be a key by itself, with Alt.
    opened: Option<u8>,
    /// Decodes symbols, and what stands between `Esc [` and its end.
    parser: Parser<0>,
}

/// Where in a sequence the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In none, or where the parser knows it.
    #[default]
    Parsed,
    /// Behind Esc.
    Escape,
    /// Behind SS3, `Esc O`: a letter is an arrow or a function key.
    Single,
    /// Behind `Esc [ [`: a letter is a function key of Linux's own console.
    Linux,
    /// In a string, which only answers are.
    Answer,
    /// Behind Esc in a string, which may end it.
    AnswerEscape,
}

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;

impl Keys {
    /// Time behind an Esc, in nanoseconds, after which nothing is a sequence with it. Sequences
    /// come in one go, so some hundredths of a second are enough; keys are seldom typed so fast.
    pub const PAUSE_NS: u64 = 50_000_000;

    /// Takes a byte; returns the key it completes.
    pub fn take(&mut self, byte: u8) -> Option<Press> {
        self.opened = None;
        // Nothing half typed outlives a line.
        if matches!(byte, b'\r' | b'\n' | 0x03) && self.state != State::Escape {
            *self = Self::default();
        }
        match self.state {
            State::Escape => self.behind_escape(byte),
            State::Answer => {
                match byte {
                    ESCAPE => self.state = State::AnswerEscape,
                    BELL | CANCEL | SUBSTITUTE => self.state = State::Parsed,
                    _ => {}
                }
                None
            }
            State::AnswerEscape if byte == b'\\' => {
                self.state = State::Parsed;
                None
            }
            State::AnswerEscape => self.behind_escape(byte),
            State::Parsed | State::Single | State::Linux if byte == ESCAPE => {
                self.state = State::Escape;
                None
            }
            State::Parsed => self.parse(byte),
            State::Single => {
                self.state = State::Parsed;
                lettered(byte.into()).map(Press::from)
            }
            State::Linux => {
                self.state = State::Parsed;
                let number = byte.wrapping_sub(b'A');
                (number < 5).then(|| Key::Function(number + 1).into())
            }
        }
    }

    /// Nothing has come for a while behind what was taken last. Where that could have begun a sequence it was a key: Esc, or one with Alt.
    ///
    /// To be called after [`Keys::PAUSE_NS`] without a byte.
    pub fn pause(&mut self) -> Option<Press> {
        let press = match (self.state, self.opened) {
            (State::Escape, _) => Key::Escape.into(),
            (_, Some(byte)) => with_alt(Key::Symbol(byte.into()).into()),
            _ => return None,
        };
        *self = Self::default();
        Some(press)
    }

    fn behind_escape(&mut self, byte: u8) -> Option<Press> {
        *self = Self::default();
        match byte {
            // Twice Esc: once the key, and perhaps a sequence now.
            ESCAPE => {
                self.state = State::Escape;
                return Some(Key::Escape.into());
            }
            b'O' => self.state = State::Single,
            // DCS, SOS, OSC, PM, APC.
            b'P' | b'X' | b']' | b'^' | b'_' => self.state = State::Answer,
            b'[' => {
                self.parse(ESCAPE);
                self.parse(byte);
            }
            _ => return self.parse(byte).map(with_alt),
        }
        self.opened = Some(byte);
        None
    }

    fn parse(&mut self, byte: u8) -> Option<Press> {
        let mut found = Found {
            state: &mut self.state,
            press: None,
        };
        self.parser.advance(&mut found, &[byte]);
        found.press
    }
}

fn with_alt(press: Press) -> Press {
    Press { alt: true, ..press }
}

/// Collector of what the parser finds in a byte.
struct Found<'a> {
    state: &'a mut State,
    press: Option<Press>,
}

impl Perform for Found<'_> {
    fn print(&mut self, symbol: char) {
        let key = match symbol {
            '\x7f' => Key::Backspace,
            // Bytes that are no symbol.
            char::REPLACEMENT_CHARACTER => return,
            symbol if symbol.is_control() => return,
            symbol => Key::Symbol(symbol),
        };
        self.press = Some(key.into());
    }

    fn execute(&mut self, control: u8) {
        let key = match control {
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x08 | 0x7f => Key::Backspace,
            0 => Key::Control(' '),
            1..=26 => Key::Control(char::from(b'a' + control - 1)),
            0x1c..=0x1f => Key::Control(char::from(control + 0x40)),
            _ => return,
        };
        self.press = Some(key.into());
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        let mut numbers = params.iter().flatten().copied();
        let first = numbers.next().unwrap_or(0);
        let modifiers = numbers.next().unwrap_or(0);
        let key = match last {
            '[' => {
                *self.state = State::Linux;
                return;
            }
            'Z' => {
                self.press = Some(Press {
                    shift: true,
                    ..Key::Tab.into()
                });
                return;
            }
            '~' => numbered(first),
            // With numbers it is where the cursor is, so F3 with a modifier cannot be told.
            'R' if first != 0 => None,
            _ => lettered(last),
        };
        self.press = key.map(|key| Press::modified(key, modifiers));
    }
}

/// The key of a letter behind `Esc [` or `Esc O`.
fn lettered(letter: char) -> Option<Key> {
    Some(match letter {
        'A' => Key::Up,
        'B' => Key::Down,
        'C' => Key::Right,
        'D' => Key::Left,
        'F' => Key::End,
        'H' => Key::Home,
        'M' => Key::Enter,
        'P' => Key::Function(1),
        'Q' => Key::Function(2),
        'R' => Key::Function(3),
        'S' => Key::Function(4),
        _ => return None,
    })
}

/// The key of a number before `~`.
fn numbered(number: u16) -> Option<Key> {
    let function = |number: u16| Key::Function(number as u8);
    Some(match number {
        1 | 7 => Key::Home,
        2 => Key::Insert,
        3 => Key::Delete,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        // Numbers are left out after F5 and after F10.
        11..=15 => function(number - 10),
        17..=21 => function(number - 11),
        23..=24 => function(number - 12),
        _ => return None,
    })
}
