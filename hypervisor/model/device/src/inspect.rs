//! The operator's view of a device.

use core::fmt;

/// A page of `name value` lines that a device fills for the operator's shell.
pub struct Page<'a> {
    out: &'a mut dyn fmt::Write,
}

impl<'a> Page<'a> {
    /// A page that ends up in `out`.
    pub fn new(out: &'a mut dyn fmt::Write) -> Self {
        Self { out }
    }

    /// Adds one line. A full sink drops it: an operator's page is not worth an error path.
    pub fn line(&mut self, name: &str, value: impl fmt::Display) {
        let _ = writeln!(self.out, "  {name:<16} {value}");
    }
}
