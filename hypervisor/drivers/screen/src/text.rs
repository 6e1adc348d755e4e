//! Bytes into actions: control characters act, ANSI sequences vanish.

/// What a byte asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Show(u8),
    NewLine,
    Return,
    Back,
    Tab,
    Nothing,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte such as `(`: one more follows.
    Charset,
    /// After ESC [ : parameters up to a final byte. (ECMA-48 5.4)
    Control,
    /// After ESC ] and the like: text up to BEL or ESC \.
    Payload,
}

/// Where in a sequence we are.
#[derive(Default)]
pub(crate) struct Parser {
    state: State,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

impl Parser {
    /// Takes the next byte.
    pub(crate) fn take(&mut self, byte: u8) -> Action {
        let (next, action) = match (self.state, byte) {
            (_, ESC) => (State::Escape, Action::Nothing),
            (State::Text, _) => (State::Text, plain(byte)),
            (State::Escape, b'[') => (State::Control, Action::Nothing),
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => (State::Payload, Action::Nothing),
            (State::Escape, b' '..=b'/') => (State::Charset, Action::Nothing),
            (State::Control, 0x20..=0x3f) => (State::Control, Action::Nothing),
            (State::Payload, BEL) => (State::Text, Action::Nothing),
            (State::Payload, _) => (State::Payload, Action::Nothing),
            (State::Escape | State::Charset | State::Control, _) => (State::Text, Action::Nothing),
        };
        self.state = next;
        action
    }
}

fn plain(byte: u8) -> Action {
    match byte {
        b'\n' => Action::NewLine,
        b'\r' => Action::Return,
        0x08 => Action::Back,
        b'\t' => Action::Tab,
        b' '..=b'~' => Action::Show(byte),
        0..0x20 | 0x7f => Action::Nothing,
        // The rest of a UTF-8 sequence was announced by its first byte already.
        0x80..=0xbf => Action::Nothing,
        0xc0.. => Action::Show(b'?'),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn shown(bytes: &[u8]) -> String {
        let mut parser = Parser::default();
        let actions = bytes.iter().map(|&byte| parser.take(byte));
        actions
            .filter_map(|action| {
                if let Action::Show(symbol) = action {
                    Some(char::from(symbol))
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn colours_titles_and_charsets_vanish() {
        assert_eq!(
            shown(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\x1b(B\x1b[?25l."),
            "red!."
        );
        assert_eq!(shown(b"\x1b]0;title\x1b\\after"), "after");
    }

    #[test]
    fn a_foreign_letter_is_one_question_mark() {
        assert_eq!(shown("a\u{20ac}b".as_bytes()), "a?b");
    }
}
