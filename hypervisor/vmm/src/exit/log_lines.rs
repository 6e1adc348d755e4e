//! Text sinks.

use alloc::string::String;
use core::fmt;

/// Sends each line to the log, with a VM's name.
pub(crate) struct LogLines<'a> {
    vm: &'a str,
    line: String,
}

/// Longer lines are cut in pieces.
const LINE_BYTES: usize = 200;

impl<'a> LogLines<'a> {
    /// Lines about the VM of this name.
    pub(crate) const fn of(vm: &'a str) -> Self {
        Self {
            vm,
            line: String::new(),
        }
    }

    fn send(&self) {
        log::error!("vm {}: {}", self.vm, self.line);
    }
}

impl fmt::Write for LogLines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c == '\n' || self.line.len() >= LINE_BYTES {
                self.send();
                self.line.clear();
            }
            if c != '\n' {
                self.line.push(c);
            }
        }
        Ok(())
    }
}

impl Drop for LogLines<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.send();
        }
    }
}
