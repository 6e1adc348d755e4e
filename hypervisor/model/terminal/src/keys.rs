//! What an operator types, key by key.

use vte::{Params, Parser, Perform};

/// A key, or a symbol from several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A symbol.
    Symbol(char),
    /// Control and this small letter.
    Control(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Erases the symbol before the cursor.
    Backspace,
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
}

/// Takes keys apart. Sequences it does not know, a terminal's answers among them, vanish whole.
#[derive(Default)]
pub struct Keys {
    parser: Parser<0>,
    prefix: Prefix,
}

/// What came before that makes the next letter a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Prefix {
    #[default]
    None,
    /// SS3: arrows in application mode, and function keys.
    Single,
    /// Function keys of Linux's own console.
    Linux,
}

impl Keys {
    /// Takes a byte; returns the key it completes.
    pub fn take(&mut self, byte: u8) -> Option<Key> {
        // Nothing half typed outlives a line.
        if matches!(byte, b'\r' | b'\n' | 0x03) {
            *self = Self::default();
        }
        let mut found = Found {
            prefix: &mut self.prefix,
            key: None,
        };
        self.parser.advance(&mut found, &[byte]);
        found.key
    }
}

struct Found<'a> {
    prefix: &'a mut Prefix,
    key: Option<Key>,
}

fn arrow(last: char) -> Option<Key> {
    Some(match last {
        'A' => Key::Up,
        'B' => Key::Down,
        'C' => Key::Right,
        'D' => Key::Left,
        'H' => Key::Home,
        'F' => Key::End,
        'M' => Key::Enter,
        _ => return None,
    })
}

impl Perform for Found<'_> {
    fn print(&mut self, symbol: char) {
        self.key = match core::mem::take(self.prefix) {
            Prefix::Single => arrow(symbol),
            Prefix::Linux => None,
            Prefix::None => match symbol {
                '\x7f' => Some(Key::Backspace),
                char::REPLACEMENT_CHARACTER => None,
                symbol if symbol.is_control() => None,
                symbol => Some(Key::Symbol(symbol)),
            },
        };
    }

    fn execute(&mut self, control: u8) {
        *self.prefix = Prefix::None;
        self.key = match control {
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x08 => Some(Key::Backspace),
            1..=26 => Some(Key::Control(char::from(b'a' + control - 1))),
            _ => None,
        };
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, last: u8) {
        *self.prefix = match (intermediates, last) {
            ([], b'O') => Prefix::Single,
            _ => Prefix::None,
        };
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        *self.prefix = Prefix::None;
        if ignore || !intermediates.is_empty() {
            return;
        }
        let first = params.iter().flatten().next().copied().unwrap_or(0);
        self.key = match (last, first) {
            ('[', _) => {
                *self.prefix = Prefix::Linux;
                None
            }
            ('~', 1 | 7) => Some(Key::Home),
            ('~', 4 | 8) => Some(Key::End),
            ('~', 3) => Some(Key::Delete),
            ('~', 5) => Some(Key::PageUp),
            ('~', 6) => Some(Key::PageDown),
            // With more parameters a letter with Control or Alt, all the same to us; R is a cursor's position.
            ('A'..='D' | 'F' | 'H', _) => arrow(last),
            _ => None,
        };
    }
}
