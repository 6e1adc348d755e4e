//! From the words of a line to a command.

use super::Command;
use super::table::{Argument, Kind, info};
use alloc::string::String;
use vm_spec::GuestConsole;

/// A mistake in what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// There is no command of this name.
    NoCommand,
    /// Nothing may follow the name.
    StandsAlone,
    /// It has no options.
    Options,
    /// This argument is missing.
    Missing(&'static Argument),
    /// This is one word too many.
    TooMany(String),
    /// This is no number.
    NotANumber(String),
    /// A VM has no such console.
    NoView(String),
}

/// The arguments of a command, taken one by one.
pub(crate) struct Arguments<'a> {
    expected: core::slice::Iter<'static, Argument>,
    words: core::slice::Iter<'a, String>,
}

impl Arguments<'_> {
    /// Takes a word that may be absent.
    pub(super) fn optional_word(&mut self) -> Option<String> {
        self.expected.next();
        self.words.next().cloned()
    }

    /// Takes a word.
    pub(super) fn word(&mut self) -> Result<String, Mistake> {
        let missing = self.expected.as_slice().first().map(Mistake::Missing);
        self.optional_word()
            .ok_or_else(|| missing.unwrap_or(Mistake::StandsAlone))
    }

    /// Takes a number that may be absent.
    pub(super) fn optional_number(&mut self) -> Result<Option<u32>, Mistake> {
        let number = |word: String| word.parse().map_err(|_| Mistake::NotANumber(word));
        self.optional_word().map(number).transpose()
    }

    /// Takes a number.
    pub(super) fn number(&mut self) -> Result<u32, Mistake> {
        let word = self.word()?;
        word.parse().map_err(|_| Mistake::NotANumber(word))
    }

    /// Takes one of a VM's consoles, which may be absent.
    pub(super) fn optional_view(&mut self) -> Result<Option<GuestConsole>, Mistake> {
        match self.optional_word() {
            None => Ok(None),
            Some(word) if word == Kind::SERIAL => Ok(Some(GuestConsole::Serial)),
            Some(word) if word == Kind::SCREEN => Ok(Some(GuestConsole::Screen)),
            Some(word) => Err(Mistake::NoView(word)),
        }
    }
}

/// Makes a command of its name and the words behind it.
///
/// # Errors
/// The first [`Mistake`].
pub(crate) fn parse(name: &str, words: &[String], has_options: bool) -> Result<Command, Mistake> {
    let info = info(name).ok_or(Mistake::NoCommand)?;
    // Strictly: `reboot VM` must not reset the machine.
    if info.arguments.is_empty() && (has_options || !words.is_empty()) {
        return Err(Mistake::StandsAlone);
    }
    if has_options {
        return Err(Mistake::Options);
    }
    let mut arguments = Arguments {
        expected: info.arguments.iter(),
        words: words.iter(),
    };
    let command = (info.make)(&mut arguments)?;
    match arguments.words.next() {
        Some(word) => Err(Mistake::TooMany(word.clone())),
        None => Ok(command),
    }
}
