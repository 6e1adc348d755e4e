use super::*;
use alloc::vec::Vec;
use terminal::Keys;

/// Returns what the keyboard sends for these bytes, typed at once and followed by a pause.
fn codes(bytes: &[u8]) -> Vec<u8> {
    let mut keys = Keys::default();
    let mut codes = VecDeque::new();
    let mut presses: Vec<Press> = bytes.iter().filter_map(|byte| keys.take(*byte)).collect();
    presses.extend(keys.pause());
    for stroke in presses.into_iter().filter_map(Stroke::of) {
        stroke.press(&mut codes);
        stroke.release(&mut codes);
    }
    codes.into()
}

#[test]
fn a_table_of_keys() {
    let table: &[(&[u8], &[u8])] = &[
        (b"a", &[0x1c, 0xf0, 0x1c]),
        (b"A", &[0x12, 0x1c, 0xf0, 0x1c, 0xf0, 0x12]),
        (b"7", &[0x3d, 0xf0, 0x3d]),
        (b"&", &[0x12, 0x3d, 0xf0, 0x3d, 0xf0, 0x12]),
        (b" ", &[0x29, 0xf0, 0x29]),
        (b"\r", &[0x5a, 0xf0, 0x5a]),
        (b"\n", &[0x5a, 0xf0, 0x5a]),
        (b"\t", &[0x0d, 0xf0, 0x0d]),
        (b"\x7f", &[0x66, 0xf0, 0x66]),
        (b"\x08", &[0x66, 0xf0, 0x66]),
        (b"\x1b", &[0x76, 0xf0, 0x76]),
        (b"\x03", &[0x14, 0x21, 0xf0, 0x21, 0xf0, 0x14]), // Ctrl-C
        (b"\x00", &[0x14, 0x29, 0xf0, 0x29, 0xf0, 0x14]), // Ctrl-Space
        (b"\x1c", &[0x14, 0x5d, 0xf0, 0x5d, 0xf0, 0x14]), // Ctrl-backslash
        (b"\x1e", &[0x14, 0x36, 0xf0, 0x36, 0xf0, 0x14]), // Ctrl-6
        (b"\x1f", &[0x14, 0x4e, 0xf0, 0x4e, 0xf0, 0x14]), // Ctrl-minus
        (b"\x1bx", &[0x11, 0x22, 0xf0, 0x22, 0xf0, 0x11]), // Alt-X
        (b"\x1b[A", &[0xe0, 0x75, 0xe0, 0xf0, 0x75]),
        (b"\x1bOB", &[0xe0, 0x72, 0xe0, 0xf0, 0x72]),
        (b"\x1b[C", &[0xe0, 0x74, 0xe0, 0xf0, 0x74]),
        (b"\x1b[D", &[0xe0, 0x6b, 0xe0, 0xf0, 0x6b]),
        (b"\x1b[H", &[0xe0, 0x6c, 0xe0, 0xf0, 0x6c]),
        (b"\x1b[4~", &[0xe0, 0x69, 0xe0, 0xf0, 0x69]),
        (b"\x1b[2~", &[0xe0, 0x70, 0xe0, 0xf0, 0x70]),
        (b"\x1b[5~", &[0xe0, 0x7d, 0xe0, 0xf0, 0x7d]),
        (b"\x1b[6~", &[0xe0, 0x7a, 0xe0, 0xf0, 0x7a]),
        (b"\x1bOP", &[0x05, 0xf0, 0x05]),   // F1 of xterm
        (b"\x1b[11~", &[0x05, 0xf0, 0x05]), // F1 of rxvt
        (b"\x1b[[A", &[0x05, 0xf0, 0x05]),  // F1 of the Linux console
        (b"\x1b[15~", &[0x03, 0xf0, 0x03]), // F5
        (b"\x1b[17~", &[0x0b, 0xf0, 0x0b]), // F6
        (b"\x1b[18~", &[0x83, 0xf0, 0x83]), // F7
        (b"\x1b[21~", &[0x09, 0xf0, 0x09]), // F10
        (b"\x1b[24~", &[0x07, 0xf0, 0x07]), // F12
        (b"\x1b[Z", &[0x12, 0x0d, 0xf0, 0x0d, 0xf0, 0x12]), // Shift-Tab
        (
            b"\x1b[1;5D",
            &[0x14, 0xe0, 0x6b, 0xe0, 0xf0, 0x6b, 0xf0, 0x14],
        ), // Ctrl-Left
        (
            b"\x1b[3;7~", // Ctrl-Alt-Delete
            &[
                0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14,
            ],
        ),
    ];
    for (typed, wanted) in table {
        assert_eq!(&codes(typed), wanted, "{typed:x?}");
    }
}

#[test]
fn every_printable_character_has_one_key() {
    for byte in b' '..=b'~' {
        let stroke = typing(byte.into()).expect("a US keyboard types all of ASCII");
        assert!(!stroke.ctrl && !stroke.alt);
    }
    let mut keys: Vec<u8> = PRINTING.iter().map(|(code, ..)| *code).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), PRINTING.len());
}

#[test]
fn what_no_key_types_is_not_typed() {
    assert_eq!(codes("ä€".as_bytes()), [0u8; 0]);
    assert_eq!(codes(b"\x1b[24;80R\x1b]10;rgb:0/0/0\x07"), [0u8; 0]);
    assert_eq!(Stroke::of(terminal::Key::Function(0).into()), None);
    assert_eq!(Stroke::of(terminal::Key::Function(13).into()), None);
}
