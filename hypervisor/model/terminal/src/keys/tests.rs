extern crate std;
use super::*;
use std::vec::Vec;

/// The presses of what is typed in one go.
fn presses(bytes: &[u8]) -> Vec<Press> {
    let mut keys = Keys::default();
    let mut presses: Vec<Press> = bytes.iter().filter_map(|byte| keys.take(*byte)).collect();
    presses.extend(keys.pause());
    presses
}

/// The same without what is held beside them.
fn keys(text: &str) -> Vec<Key> {
    presses(text.as_bytes())
        .iter()
        .map(|press| press.key)
        .collect()
}

#[test]
fn keys_are_taken_apart() {
    use Key::*;
    assert_eq!(keys("aß"), [Symbol('a'), Symbol('ß')]);
    assert_eq!(
        keys("\x1b[A\x1bOB\x1b[1;5C\x1b[5~\x1b[6~"),
        [Up, Down, Right, PageUp, PageDown]
    );
    assert_eq!(
        keys("\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[2~\x1b[3~"),
        [Home, End, Home, End, Insert, Delete]
    );
    assert_eq!(
        keys("\r\n\t\x7f\x08\x03\x1a"),
        [
            Enter,
            Enter,
            Tab,
            Backspace,
            Backspace,
            Control('c'),
            Control('z')
        ]
    );
    assert_eq!(
        keys("\0\x1c\x1d\x1e\x1f"),
        [' ', '\\', ']', '^', '_'].map(Control)
    );
}

#[test]
fn function_keys_of_three_families_of_terminals() {
    let first_four = [1, 2, 3, 4].map(Key::Function);
    assert_eq!(keys("\x1bOP\x1bOQ\x1bOR\x1bOS"), first_four); // xterm
    assert_eq!(keys("\x1b[11~\x1b[12~\x1b[13~\x1b[14~"), first_four); // rxvt
    assert_eq!(keys("\x1b[[A\x1b[[B\x1b[[C\x1b[[D"), first_four); // Linux
    assert_eq!(keys("\x1b[[E\x1b[15~"), [Key::Function(5); 2]);
    assert_eq!(
        keys("\x1b[17~\x1b[21~\x1b[23~\x1b[24~"),
        [6, 10, 11, 12].map(Key::Function)
    );
}

#[test]
fn modifiers_are_told() {
    let plain = Press::from;
    let cases: [(&[u8], Press); 7] = [
        (
            b"\x1b[1;5D",
            Press {
                ctrl: true,
                ..plain(Key::Left)
            },
        ),
        (
            b"\x1b[3;7~",
            Press {
                ctrl: true,
                alt: true,
                ..plain(Key::Delete)
            },
        ),
        (
            b"\x1b[Z",
            Press {
                shift: true,
                ..plain(Key::Tab)
            },
        ),
        (b"\x1bx", with_alt(plain(Key::Symbol('x')))),
        (b"\x1b\x7f", with_alt(plain(Key::Backspace))),
        (b"\x1b\r", with_alt(plain(Key::Enter))),
        (b"\x1b\x03", with_alt(plain(Key::Control('c')))),
    ];
    for (typed, wanted) in cases {
        assert_eq!(presses(typed), [wanted], "{typed:x?}");
    }
}

#[test]
fn what_could_begin_a_sequence_is_a_key_after_a_pause() {
    for byte in *b"[OPX]^_" {
        let wanted = with_alt(Key::Symbol(byte.into()).into());
        assert_eq!(presses(&[ESCAPE, byte]), [wanted]);
    }
    assert_eq!(keys("\x1b"), [Key::Escape]);
    assert_eq!(keys("\x1b\x1b"), [Key::Escape; 2]);
    assert_eq!(keys("\x1b\x1b[A"), [Key::Escape, Key::Up]);

    let mut keys = Keys::default();
    assert_eq!(keys.take(ESCAPE), None);
    assert_eq!(keys.pause(), Some(Key::Escape.into()));
    assert_eq!(keys.take(b'['), Some(Key::Symbol('[').into()));
    assert_eq!(keys.pause(), None);
    // In the middle of a sequence nothing is a key.
    for byte in *b"\x1b[1" {
        assert_eq!(keys.take(byte), None);
    }
    assert_eq!(keys.pause(), None);
    assert_eq!(keys.take(b'~'), Some(Key::Home.into()));
}

#[test]
fn a_terminals_answers_are_no_keys() {
    assert_eq!(
        keys("\x1b[24;80R\x1b[?62;c\x1b[0n\x1b]10;rgb:0/0/0\x07\x1bP1$r0m\x1b\\\x1b[I\x1b[O"),
        []
    );
    // An unfinished one ends with the line, or with a sequence.
    assert_eq!(keys("\x1b]10;rgb\rx"), [Key::Enter, Key::Symbol('x')]);
    assert_eq!(keys("\x1b]10;rgb\x1b[A"), [Key::Up]);
    assert_eq!(keys("\x1b[1;\x1b[B"), [Key::Down]);
}

#[test]
fn nonsense_is_no_key_and_ends() {
    assert_eq!(presses(b"\x1b[99~\x1b[;;;q\xff\x80\x1bOz\x1b[[Q"), []);
    let mut long = Vec::from(*b"\x1b[");
    long.extend([b'9'; 100]);
    long.extend(b"~a");
    assert_eq!(presses(&long), [Key::Symbol('a').into()]);
    let mut long = Vec::from(*b"\x1b[");
    long.extend(b"9;".repeat(100));
    long.extend(b"~a");
    assert_eq!(presses(&long), [Key::Symbol('a').into()]);
}
