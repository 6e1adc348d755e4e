//! The operator's terminal as a person sees it.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::test_machine::{PANIC, TestMachine};

const ROWS: NonZeroU16 = NonZeroU16::new(25).expect("it is not zero");
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).expect("it is not zero");

/// A terminal on a test_machine's serial port: understands what the port says.
pub struct Screen {
    terminal: vt100::Parser,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// A terminal that has seen nothing yet, and first catches up with what was said.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: vt100::Parser::new(ROWS, COLUMNS, 0),
        }
    }

    /// What is on it, row by row.
    #[must_use]
    pub fn text(&self) -> String {
        self.terminal.screen().contents()
    }

    /// Row and column of the cursor.
    #[must_use]
    pub fn cursor(&self) -> (u16, u16) {
        self.terminal.screen().cursor_position()
    }

    /// The cell at a place: its text and its background.
    #[must_use]
    pub fn cell(&self, row: u16, column: u16) -> Option<(String, vt100::Color)> {
        let cell = self.terminal.screen().cell(row, column)?;
        Some((cell.contents().to_owned(), cell.bgcolor()))
    }

    /// One row, without the spaces at its end.
    #[must_use]
    pub fn row(&self, row: u16) -> String {
        let mut rows = self.terminal.screen().rows(0, COLUMNS.get());
        rows.nth(usize::from(row)).unwrap_or_default()
    }

    /// Takes in what arrives within `patience`, as soon as anything does.
    pub fn look(&mut self, test_machine: &mut TestMachine, patience: Duration) {
        let fresh = test_machine.machine.fresh(patience);
        self.terminal.process(&fresh);
    }

    /// Looks until it is so, as long as something may take that takes `qemu_s` seconds at most in QEMU.
    ///
    /// # Errors
    /// It is not so in time, with what is on the screen; or the machine has ended.
    pub fn wait(
        &mut self,
        test_machine: &mut TestMachine,
        what: &str,
        qemu_s: u64,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + test_machine.bed.patience(qemu_s);
        loop {
            self.look(test_machine, Duration::from_millis(100));
            if is_so(self) {
                return Ok(());
            }
            let text = self.text();
            ensure!(!text.contains(PANIC), "{}", test_machine.last_words());
            if let Some(status) = test_machine.machine.ended() {
                bail!("the emulator ended ({status}) before {what}");
            }
            ensure!(Instant::now() < until, "no {what} on the screen:\n{text}");
        }
    }
}
