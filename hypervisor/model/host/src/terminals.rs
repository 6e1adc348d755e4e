//! The operator's terminals.

/// A terminal of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The serial port. What it does not take at once has to wait.
    Serial,
    /// The screen with its keyboard. It takes everything at once, and draws it later.
    Screen,
}

/// The terminals of the machine. Nothing here waits for one.
pub trait Terminals: Sync {
    /// Returns the terminals there are; always the same ones.
    fn terminals(&self) -> &[Terminal];

    /// Gives bytes to a terminal, as far as it takes them without waiting. Returns how many it took.
    fn terminal_write(&self, terminal: Terminal, bytes: &[u8]) -> usize;

    /// Takes a byte that was typed at a terminal.
    fn terminal_read(&self, terminal: Terminal) -> Option<u8>;

    /// Changes a terminal's status line, if it has one.
    fn terminal_status(&self, terminal: Terminal, text: &str);

    /// Draws a bounded part of what changed on a terminal. Returns whether more is left.
    fn terminal_draw(&self, terminal: Terminal) -> bool;
}
