//! Errors in the text: what is wrong, and where.

use alloc::string::{String, ToString};
use core::fmt;
use core::ops::Range;

use crate::Place;

/// The longest line that is shown whole; beyond it lies no configuration a person wrote.
const SHOWN_CHARS: usize = 160;

/// Something in the configuration that cannot be used. It prints as the operator should see it: file, line, column, the line with a caret
/// under the place, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// Number of characters marked, at least 1.
    pub width: u32,
    /// The line itself; control characters are replaced.
    pub line_text: String,
    /// Description of what is wrong.
    pub message: String,
    /// Description of what would be right.
    pub hint: String,
}

impl SpecError {
    /// An error at the bytes `span` of `text`.
    pub(crate) fn new(
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let start = floor(text, span.start);
        let (line, line_start) = line_of(text, start);
        let line_end = text
            .get(line_start..)
            .and_then(|rest| rest.find('\n'))
            .map_or(text.len(), |at| line_start + at);
        let marked_end = floor(text, span.end).clamp(start, line_end.max(start));
        Self {
            line,
            column: count(text, line_start..start).saturating_add(1),
            width: count(text, start..marked_end).max(1),
            line_text: shown(text.get(line_start..line_end).unwrap_or_default()),
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// An error at a place noted earlier.
    pub(crate) fn at_place(text: &str, place: Place, message: &str, hint: &str) -> Self {
        let index = (place.line as usize).saturating_sub(1);
        Self {
            line: place.line,
            column: place.column,
            width: 1,
            line_text: shown(text.split('\n').nth(index).unwrap_or_default()),
            message: message.to_string(),
            hint: hint.to_string(),
        }
    }
}

/// The place of a byte of the text.
pub(crate) fn place_of(text: &str, at: usize) -> Place {
    let at = floor(text, at);
    let (line, line_start) = line_of(text, at);
    Place {
        line,
        column: count(text, line_start..at).saturating_add(1),
    }
}

/// The line `at` is in, from 1, and the byte it starts with.
fn line_of(text: &str, at: usize) -> (u32, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    (
        u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
        before.rfind('\n').map_or(0, |at| at + 1),
    )
}

/// The last boundary between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn count(text: &str, range: Range<usize>) -> u32 {
    text.get(range).map_or(0, |part| {
        u32::try_from(part.chars().count()).unwrap_or(u32::MAX)
    })
}

fn shown(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    line.chars()
        .take(SHOWN_CHARS)
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "caisson.toml:{}:{}: {}",
            self.line, self.column, self.message
        )?;
        let number = self.line.to_string();
        let margin = number.len();
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number} | {}", self.line_text)?;
        write!(f, "{:margin$} | ", "")?;
        let before = (self.column as usize).saturating_sub(1).min(SHOWN_CHARS);
        for c in self
            .line_text
            .chars()
            .chain(core::iter::repeat(' '))
            .take(before)
        {
            // A tab stays a tab, or the caret would stand elsewhere.
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        for _ in 0..(self.width as usize).min(SHOWN_CHARS - before).max(1) {
            f.write_str("^")?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n{:margin$} = {}", "", self.hint)?;
        }
        Ok(())
    }
}

impl core::error::Error for SpecError {}
