//! Texts no person would write.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::parse;
use crate::tests::FULL;

#[test]
fn no_text_makes_it_panic() {
    // A small deterministic generator: mutations of a good file, each parsed and, if refused, printed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    let pieces = [
        "[[vm]]",
        "[",
        "]",
        "\"",
        "=",
        "\n",
        "\r",
        "\t",
        "ä",
        "\u{feff}",
        "\u{1f980}",
        "'''",
        "{",
        "}",
        ".",
        "0x",
        "-",
        "_",
    ];
    for _ in 0..4000 {
        let mut chars: Vec<char> = FULL.chars().collect();
        for _ in 0..1 + next(6) {
            let at = next(chars.len());
            match next(4) {
                0 => drop(chars.remove(at)),
                1 => chars.truncate(at + 1),
                2 => {
                    let piece = pieces[next(pieces.len())];
                    chars.splice(at..at, piece.chars());
                }
                _ => chars[at] = char::from(next(256) as u8),
            }
            if chars.is_empty() {
                chars.push('=');
            }
        }
        let text: String = chars.into_iter().collect();
        if let Err(error) = parse(&text) {
            assert!(error.line >= 1 && error.column >= 1 && error.width >= 1);
            assert!(error.to_string().starts_with("caisson.toml:"));
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    assert!(parse(&"[".repeat(10_000)).is_err());
    assert!(parse(&format!("a = {}", "[".repeat(10_000))).is_err());
    assert!(parse(&format!("a = {}", "{a=".repeat(10_000))).is_err());
    assert!(parse(&format!("{}a = 1", "a.".repeat(10_000))).is_err());
}
