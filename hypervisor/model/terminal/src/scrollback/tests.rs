extern crate std;
use super::*;
use crate::tests::Out;
use std::string::String;

#[test]
fn scrollback_keeps_the_newest_and_starts_at_lines() {
    let mut back = Scrollback::new(16);
    back.push(b"one\r\ntwo\r\n");
    let text = |back: &Scrollback, from| -> String { back.from(from).map(char::from).collect() };
    assert_eq!(text(&back, back.lines_start(1, 99)), "two\r\n");
    assert_eq!(text(&back, back.lines_start(9, 99)), "one\r\ntwo\r\n");
    back.push(b"three!!\r\nfo");
    assert_eq!(text(&back, back.lines_start(9, 99)), "three!!\r\nfo");
    assert_eq!(text(&back, back.lines_start(1, 99)), "fo");
    assert_eq!(text(&back, back.open_line_start(99)), "fo");
    // Never from the middle of a sequence or a symbol.
    let mut back = Scrollback::new(8);
    back.push("abc\x1b[31mx".as_bytes());
    assert_eq!(text(&back, back.lines_start(9, 3)), "1mx");
    let mut back = Scrollback::new(4);
    back.push("ab€€".as_bytes());
    assert_eq!(back.from(back.lines_start(9, 99)).count(), 3);
}

#[test]
fn a_picture_is_replayed_from_its_start_while_it_is_there() {
    let mut back = Scrollback::new(16);
    back.push(b"before");
    back.clear();
    back.push(b"after");
    assert_eq!(back.picture_start(99), Some(6));
    assert_eq!(back.picture_start(3), None);
    back.push(b"much too much more");
    assert_eq!(back.picture_start(99), None);
}

#[test]
fn plain_text_shows_what_was_left_on_each_line() {
    let plain = |text: &str| plain_text(text.bytes(), 20);
    assert_eq!(plain("a\x1b[31mb\x1b[m\r\nc"), "ab\nc\n");
    assert_eq!(plain("10%\r20%\r\nx\x08y\tz"), "20%\ny       z\n");
    assert_eq!(plain("\x1b[2;3Hone\x1b[5;1Htwo"), "one\ntwo\n");
    assert_eq!(
        plain(&"x".repeat(25)),
        std::format!("{}\nxxxxx\n", "x".repeat(20))
    );
}

#[test]
fn a_replay_shows_the_picture_and_sets_no_mode() {
    let mut back = Scrollback::new(1024);
    back.push(b"a\x1b[?1049h\x1b[1;31mb\x1b[2;9r\x1b=\x1b(0q\x1b[?25l\x1b[4hc\x1bMd\x1b[");
    let mut out = Out::default();
    back.replay(0, back.end(), &mut out);
    assert_eq!(out.bytes, b"a\x1b[1;31mb\x1b(0qc\x1bMd");
    let mut out = Out::default();
    let long = "x".repeat(600);
    back.push(long.as_bytes());
    back.replay(back.end() - 600, back.end(), &mut out);
    assert_eq!(out.bytes, long.as_bytes());
}
