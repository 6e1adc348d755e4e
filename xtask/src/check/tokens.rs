//! Rust source without what only looks like code: comments, strings, characters.

/// Words of the code, each with its line number from 1.
pub(super) fn words(source: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let bytes = source.as_bytes();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let end = skip(source, at);
        let end = end.max(at + 1);
        let piece = &bytes[at..end];
        if is_word(bytes[at]) && !starts_raw_string(&source[at..]) {
            words.push((line, &source[at..end]));
        }
        line += piece.iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    words
}

/// Where the piece of source that begins at `at` ends: a comment, a literal, a word, or one byte.
fn skip(source: &str, at: usize) -> usize {
    let rest = &source[at..];
    let first = source.as_bytes()[at];
    if rest.starts_with("//") {
        return at + rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return at + block_comment(rest);
    }
    if let Some(hashes) = raw_string_hashes(rest) {
        let close = format!("\"{}", "#".repeat(hashes));
        let open = rest.find('"').map_or(rest.len(), |quote| quote + 1);
        return at
            + rest[open..]
                .find(&close)
                .map_or(rest.len(), |found| open + found + close.len());
    }
    match first {
        b'"' => at + quoted(rest, b'"'),
        // A lifetime or label has no closing quote right behind its first character.
        b'\'' if is_character(rest) => at + quoted(rest, b'\''),
        _ if is_word(first) => at + rest.bytes().take_while(|byte| is_word(*byte)).count(),
        _ => at + rest.chars().next().map_or(1, char::len_utf8),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn starts_raw_string(rest: &str) -> bool {
    raw_string_hashes(rest).is_some()
}

/// Number of `#` of a raw string that begins here, `r"…"`, `br#"…"#`, `cr"…"`.
fn raw_string_hashes(rest: &str) -> Option<usize> {
    let behind = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    behind[hashes..].starts_with('"').then_some(hashes)
}

fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_u32, 0);
    while at < bytes.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
            while at < bytes.len() && !rest.is_char_boundary(at) {
                at += 1;
            }
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(source: &str, word: &str) -> Vec<usize> {
        words(source)
            .into_iter()
            .filter(|(_, found)| *found == word)
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let source = "// unsafe\n/* unsafe /* unsafe */ */\nlet a = \"unsafe \\\" unsafe\";\nlet b = r#\"unsafe\"#;";
        assert!(lines_of(source, "unsafe").is_empty());
    }

    #[test]
    fn code_after_a_lifetime_or_a_quote_character_is_seen() {
        let source =
            "fn a<'a>(x: &'a u8) { let q = '\"';\n unsafe { } }\n let c = '\\'';\nunsafe {}";
        assert_eq!(lines_of(source, "unsafe"), [2, 4]);
    }

    #[test]
    fn a_longer_word_is_another_word() {
        assert!(lines_of("#![forbid(unsafe_code)]", "unsafe").is_empty());
        assert_eq!(lines_of("#![forbid(unsafe_code)]", "unsafe_code"), [1]);
    }
}
