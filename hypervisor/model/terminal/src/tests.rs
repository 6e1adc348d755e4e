extern crate std;
use super::*;
use core::num::NonZero;
use std::string::String;
use std::vec::Vec;

#[derive(Default)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    asked: Vec<u8>,
    cleared: usize,
}

impl Sink for Out {
    fn emit(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }
    fn cleared(&mut self) {
        self.cleared += 1;
    }
    fn ask(&mut self, question: &[u8]) {
        self.asked.extend(question);
    }
}

fn confined(text: impl AsRef<[u8]>) -> (Confined, Out) {
    let (mut confined, mut out) = (Confined::default(), Out::default());
    for byte in text.as_ref() {
        confined.put(*byte, &mut out);
    }
    (confined, out)
}

fn passed(text: impl AsRef<[u8]>) -> String {
    String::from_utf8(confined(text).1.bytes).expect("only whole symbols pass")
}

#[test]
fn text_and_plain_controls_pass() {
    assert_eq!(passed("login: a\r\n\tb\x08c"), "login: a\r\n\tb\x08c");
    assert_eq!(passed("Grüße, 世界 ─"), "Grüße, 世界 ─");
    assert_eq!(passed("a\x0bb\x0cc"), "a\nb\nc");
}

#[test]
fn half_a_symbol_spoils_no_sequence_behind_it() {
    assert_eq!(passed(b"\xe2\x1b[31mx"), passed(b"?\x1b[31mx"));
    assert_eq!(passed(b"\xe2\x94\x1b[2Jx"), passed(b"?\x1b[2Jx"));
}

#[test]
fn what_draws_dialogues_passes() {
    for text in [
        "\x1b[2J",
        "\x1b[5;10H",
        "\x1b[3A",
        "\x1b[K",
        "\x1b[1;31;44m",
        "\x1b[38;5;200m",
        "\x1b[48;2;1;2;3m",
        "\x1b[2;20r",
        "\x1b[3L",
        "\x1b[4P",
        "\x1b(0lqk\x1b(B",
        "\x1b)0\x0elqk\x0f",
        "\x1b[?25l",
        "\x1b[?7l",
        "\x1b[?1h\x1b=",
        "\x1b[4hx\x1b[4l",
        "\x1b7\x1bM\x1bD\x1bE",
    ] {
        assert_eq!(passed(text), text);
    }
    // The same in other words.
    assert_eq!(
        passed("\x1b[31m\x1b7\x1b[m\x1b8"),
        "\x1b[31m\x1b7\x1b[0m\x1b8\x1b(B\x1b)B\x0f\x1b[0;31;49m"
    );
    assert_eq!(passed("\x1b[38:5:9m\x1b[4:3m"), "\x1b[91m\x1b[4m");
    assert_eq!(
        passed("\x1b[?47h"),
        "\x1b[?1049h\x1b(B\x1b)B\x0f\x1b[0;39;49m"
    );
}

#[test]
fn what_is_not_known_to_be_harmless_vanishes() {
    for text in [
        // Titles, clipboard, colours of the terminal, notifications; ended and endless.
        "\x1b]0;title\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",
        "\x1b]4;1;?\x07",
        "\x1b]9;hello\x07",
        "\x1b]0;never ends \r\n and swallows this",
        // Answerback, bell, flow control, NUL, DEL, SUB.
        "\x05\x07\x11\x13\0\x7f\x1a\x18",
        // DCS, APC, PM, SOS.
        "\x1bP$qm\x1b\\",
        "\x1bPq#0;2;0;0;0~~\x1b\\",
        "\x1b_Gf=24;AAAA\x1b\\",
        "\x1b^private\x1b\\",
        "\x1bXstring\x1b\\",
        // Windows, printing, memory, reports that carry text, tests, LEDs.
        "\x1b[8;10;10t",
        "\x1b[21t",
        "\x1b[4i",
        "\x1b[?5i",
        "\x1b[3J",
        "\x1b[?J\x1b[>c\x1b[=c",
        "\x1b[1x\x1b[q\x1b[?69h",
        "\x1b[20h",
        "\x1b#8\x1b#3",
        "\x1b[>4;2m\x1b[11m",
        "\x1b%G\x1bn\x1bo\x1b~\x1bN\x1bO",
        "\x1bH\x1b[3g",
        // Mouse, pasting, focus, other keys.
        "\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[?9h",
        "\x1b[1;2;3;4;5T",
        "\x1b[ q\x1b[2 q",
        "\x1b[1$r\x1b[1*x",
        // CSI and OSC as one character: Unicode's, in one piece and in two.
        "\u{9b}\u{9d}\u{90}\u{85}",
        // Right to left.
        "\u{202e}\u{2066}\u{200f}",
        // Unfinished.
        "\x1b",
        "\x1b[",
        "\x1b[12;",
        "\x1b(",
    ] {
        assert_eq!(passed(text), "", "{text:?}");
    }
    assert_eq!(passed("\x1b[1;\x1b[0;1mx"), "\x1b[0;1mx");
    assert_eq!(passed("\x1b[999999999b"), "\x1b[255b");
    assert_eq!(passed(b"\x9b31m \xff\xfe \xc3("), "31m ?? ?(");
    assert_eq!(
        passed(
            "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;32;33m"
        ),
        ""
    );
}

#[test]
fn a_reset_of_the_terminal_becomes_an_empty_screen() {
    assert_eq!(
        passed("\x1b[31m\x1b[?25l\x1bc"),
        "\x1b[31m\x1b[?25l\x1b[?25h\x1b(B\x1b)B\x0f\x1b[0;39;49m\x1b[H\x1b[2J"
    );
}

#[test]
fn questions_go_another_way() {
    let (_, out) = confined("\x1b[6n\x1b[5n\x1b[c\x1b[0c\x1b[>c\x1b[7n");
    assert_eq!(out.bytes, b"");
    assert_eq!(out.asked, b"\x1b[6n\x1b[5n\x1b[c\x1b[c");
}

#[test]
fn a_cleared_screen_is_noticed_in_all_its_forms() {
    for text in ["\x1b[2J", "\x1b[H\x1b[J", "\x1b[1;1H\x1b[0J", "\x1bc"] {
        assert_eq!(confined(text).1.cleared, 1, "{text:?}");
    }
    // Home, a picture, and the rest erased is no new picture.
    assert_eq!(confined("\x1b[Hpicture\x1b[J").1.cleared, 0);
}

#[test]
fn lines_after_a_picture_are_plain_again() {
    let full = |text: &str| confined(text).0.modes().is_full_screen();
    assert!(!full("plain\r\n\x1b[31mred"));
    assert!(full("\x1b[2;2Hx"));
    assert!(full("\x1b[2;2Hx\r\n"));
    assert!(!full("\x1b[2;2Hx\r\n\r\n\r\n"));
    assert!(full("\x1b[?1049h\r\n\r\n\r\n"));
    assert!(full("\x1b[2;9r\r\n\r\n\r\n"));
    assert!(!full("\x1b[2;9r\x1b[r\r\n\r\n\r\n"));
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }
}

const PIECES: [&[u8]; 38] = [
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x1b_",
    b"\x1b(0",
    b"\x1b)0",
    b"\x0e",
    b"\x0f",
    b"?",
    b";",
    b"1049",
    b"25",
    b"7",
    b"h",
    b"l",
    b"m",
    b"r",
    b"H",
    b"J",
    b"31",
    b"7;44",
    b"2;10",
    b"38;5;",
    b"\r\n",
    b"text",
    b"\x1b\\",
    b"\x07",
    b"\xe2\x94",
    b"\x80",
    b"\xf0\x9f\x98\x80",
    b"\x1b=",
    b"\x1b7",
    b"\x1b8",
    b"\x1bc",
    b"4",
    b"!p",
    b":",
    b"\x9b",
];

fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        if dice.below(3) == 0 {
            bytes.push(dice.below(256) as u8);
        } else {
            bytes.extend(PIECES[dice.below(PIECES.len())]);
        }
    }
    bytes
}

/// Returns whether these bytes are one thing that may reach a terminal, in the form it is written
/// here.
fn is_allowed(bytes: &[u8]) -> bool {
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    match bytes {
        [b'\r' | b'\n' | b'\t' | 0x08 | 0x0e | 0x0f] => true,
        [0x1b, b'7' | b'8' | b'D' | b'E' | b'M' | b'=' | b'>'] => true,
        [0x1b, b'(' | b')', b'0' | b'B'] => true,
        [0x1b, b'[', b'?', mode @ .., b'h' | b'l'] => {
            matches!(mode, b"1" | b"7" | b"25" | b"1049")
        }
        [0x1b, b'[', b'4', b'h' | b'l'] => true,
        [0x1b, b'[', numbers @ .., last] => {
            numbers.iter().all(is_number)
                && (b"@ABCDEFGHILMPSTXZ`abdefmr".contains(last)
                    || matches!(last, b'J' | b'K') && matches!(numbers, [] | b"0" | b"1" | b"2"))
        }
        text => core::str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control)),
    }
}

const ROWS: NonZero<u16> = NonZero::new(24).expect("some rows");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("some columns");

struct Judge {
    terminal: vt100::Parser,
}

impl Sink for Judge {
    fn emit(&mut self, bytes: &[u8]) {
        // "ESC 7, CSI r, ESC 8" and the like are several in one.
        let mut rest = bytes;
        while !rest.is_empty() {
            let next = rest[1..]
                .iter()
                .position(|byte| *byte == 0x1b || rest[0] != 0x1b && *byte < b' ');
            let (one, others) = rest.split_at(next.map_or(rest.len(), |at| at + 1));
            let one = match one {
                // Line ends behind a sequence.
                [sequence @ .., b'\r', b'\n'] if !sequence.is_empty() => sequence,
                one => one,
            };
            assert!(is_allowed(one), "{one:?}");
            rest = others;
        }
        self.terminal.process(bytes);
    }
}

#[test]
fn whatever_a_guest_prints_the_terminal_is_left_as_it_was() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3_000 {
        let len = dice.below(300);
        let bytes = noise(&mut dice, len);
        let mut confined = Confined::default();
        let mut judge = Judge {
            terminal: vt100::Parser::new(ROWS, COLUMNS, 0),
        };
        for byte in &bytes {
            confined.put(*byte, &mut judge);
        }
        let modes = confined.modes().clone();
        modes.leave(&mut judge);
        let screen = judge.terminal.screen();
        assert!(!screen.hide_cursor(), "{bytes:?}");
        assert!(!screen.alternate_screen(), "{bytes:?}");
        assert!(!screen.application_cursor(), "{bytes:?}");
        assert!(!screen.application_keypad(), "{bytes:?}");
        assert_eq!(screen.fgcolor(), vt100::Color::Default, "{bytes:?}");
        assert_eq!(screen.bgcolor(), vt100::Color::Default, "{bytes:?}");
        assert!(
            !screen.bold() && !screen.inverse() && !screen.underline(),
            "{bytes:?}"
        );
        // A scroll region would keep the first line from leaving.
        judge.terminal.process(b"\x1b[H");
        for line in 0..40 {
            judge
                .terminal
                .process(std::format!("line {line}\r\n").as_bytes());
        }
        let rows: Vec<String> = judge.terminal.screen().rows(0, 80).collect();
        assert_eq!(rows[22].trim_end(), "line 39", "{bytes:?}");
        assert_eq!(rows[0].trim_end(), "line 17", "{bytes:?}");
    }
}

#[test]
fn entering_a_view_again_sets_what_leaving_it_put_back() {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..500 {
        let bytes = noise(&mut dice, 200);
        let (mut confined, _) = confined(&bytes);
        let mut fresh = Out::default();
        confined.modes().enter(&mut fresh);
        let mut other = Confined::default();
        for byte in &fresh.bytes {
            other.put(*byte, &mut Out::default());
        }
        // Whether lines are plain is no state of the terminal.
        let plain = |confined: &mut Confined| {
            confined.put(b'x', &mut Out::default());
            let mut out = Out::default();
            let modes = confined.modes().clone();
            modes.enter(&mut out);
            out.bytes
        };
        // Ends whatever the noise left open.
        for byte in b"\x18\x1b\\" {
            confined.put(*byte, &mut Out::default());
        }
        assert_eq!(plain(&mut other), plain(&mut confined), "{bytes:?}");
    }
}
