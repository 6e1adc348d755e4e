//! Text sinks.

use alloc::string::String;
use core::fmt;

/// Sends each line to the log.
#[derive(Default)]
pub(crate) struct LogLines {
    line: String,
}

/// Longer lines are cut in pieces.
const LINE_BYTES: usize = 200;

impl fmt::Write for LogLines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c == '\n' || self.line.len() >= LINE_BYTES {
                log::error!("{}", self.line);
                self.line.clear();
            }
            if c != '\n' {
                self.line.push(c);
            }
        }
        Ok(())
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            log::error!("{}", self.line);
        }
    }
}
