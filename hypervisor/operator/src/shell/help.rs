//! Help: on all commands, on one, and for a line that is no command.

use crate::command::{COMMANDS, CommandInfo, Mistake, info};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The command that is the shell's own.
pub(super) const HELP: &str = "help";

/// Writes the help on a command; on all of them if `about` is none.
///
/// # Errors
/// Those of `out`.
pub(super) fn help(about: Option<&str>, out: &mut dyn Write) -> fmt::Result {
    match about {
        None => list(out),
        Some(HELP) => writeln!(
            out,
            "`help` lists the commands, `help COMMAND` explains one"
        ),
        Some(name) => match info(name) {
            Some(info) => one(info, out),
            None => no_command(name, out),
        },
    }
}

fn list(out: &mut dyn Write) -> fmt::Result {
    let width = COMMANDS.iter().map(|info| info.name.len()).max();
    let width = width.unwrap_or_default();
    writeln!(out, "Commands:")?;
    COMMANDS
        .iter()
        .try_for_each(|info| writeln!(out, "  {:<width$}  {}", info.name, info.summary))
}

fn one(info: &CommandInfo, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{}\n", info.summary)?;
    if !info.details.is_empty() {
        writeln!(out, "{}\n", info.details)?;
    }
    write!(out, "Usage: {}", info.name)?;
    for argument in info.arguments {
        write!(out, " {argument}")?;
    }
    writeln!(out)?;
    if !info.arguments.is_empty() {
        writeln!(out, "\nArguments:")?;
    }
    // With what is put around the name.
    let width = info.arguments.iter().map(|it| it.name.len() + 2).max();
    let width = width.unwrap_or_default();
    for argument in info.arguments {
        let name = format!("{argument}");
        writeln!(out, "  {name:<width$}  {}", argument.help)?;
    }
    writeln!(out, "\nOptions:\n  -h, --help  Print help")
}

/// Writes what is wrong with a command, and what to do.
///
/// # Errors
/// Those of `out`.
pub(super) fn explain(name: &str, mistake: &Mistake, out: &mut dyn Write) -> fmt::Result {
    match mistake {
        Mistake::NoCommand => no_command(name, out),
        Mistake::StandsAlone => {
            writeln!(out, "{name} stands alone; `help {name}` shows what it does")
        }
        Mistake::Options => writeln!(
            out,
            "{name} does not take options; `help {name}` shows how it is used"
        ),
        Mistake::Missing(argument) => {
            writeln!(
                out,
                "{name} needs {argument}; `help {name}` shows how it is used"
            )
        }
        Mistake::TooMany(word) => writeln!(
            out,
            "{name} does not take {word:?}; `help {name}` shows how it is used"
        ),
        Mistake::NotANumber(word) => writeln!(
            out,
            "{word:?} is not a number from 0 to {}; `help {name}` shows how {name} is used",
            u32::MAX
        ),
        Mistake::NoView(word) => writeln!(out, "there is no view {word:?}: `serial` or `screen`"),
    }
}

fn no_command(name: &str, out: &mut dyn Write) -> fmt::Result {
    write!(out, "there is no command {name:?}; ")?;
    let names = COMMANDS.iter().map(|info| info.name);
    let near = near(name, names).map(|name| format!("`{name}`"));
    let near: Vec<String> = near.collect();
    if !near.is_empty() {
        write!(out, "did you mean {}? ", near.join(" or "))?;
    }
    writeln!(out, "`help` lists them")
}

/// Longer words are no slips.
const MAX_WORD_BYTES: usize = 16;

/// Returns those of `names` that differ from `word` by a slip or two, or begin as it does.
fn near<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let slips = (word.len() / 3).clamp(1, 2);
    names.filter(move |name| {
        let is_begun = word.len() >= 2 && (name.starts_with(word) || word.starts_with(*name));
        word.len() <= MAX_WORD_BYTES
            && (is_begun || distance(word.as_bytes(), name.as_bytes()) <= slips)
    })
}

/// Counts the letters that must be put in, left out, changed, or swapped with the next to get from
/// one word to the other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    // Three rows of the table, by how much of `one` is used: two letters ago, one letter ago, now.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, letter) in one.iter().enumerate() {
        let mut now = alloc::vec![row + 1];
        let mut left = row + 1;
        let steps = other.iter().zip(&last).zip(last.iter().skip(1));
        let mut previous_wanted = None;
        for (column, ((wanted, diagonal), above)) in steps.enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            let mut min = changed.min(above + 1).min(left + 1);
            // Two letters back in both words.
            let swapped = column.checked_sub(1).and_then(|at| before.get(at));
            if let Some(swapped) = swapped
                && previous == Some(wanted)
                && previous_wanted == Some(letter)
            {
                min = min.min(swapped + 1);
            }
            now.push(min);
            left = min;
            previous_wanted = Some(wanted);
        }
        before = core::mem::replace(&mut last, now);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("stop", "stop", 0),
            ("sotp", "stop", 1),
            ("stp", "stop", 1),
            ("stopp", "stop", 1),
            ("stap", "stop", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), wanted, "{one}");
            assert_eq!(distance(other.as_bytes(), one.as_bytes()), wanted, "{one}");
        }
    }

    #[test]
    fn slips_are_recognized_and_strangers_are_not() {
        let names = [
            "start",
            "stop",
            "scrollback",
            "vms",
            "set-weight",
            "set-cap",
        ];
        let near = |word: &str| near(word, names.into_iter()).collect::<Vec<_>>();
        assert_eq!(near("statr"), ["start"]);
        assert_eq!(near("vm"), ["vms"]);
        assert_eq!(near("vmss"), ["vms"]);
        assert_eq!(near("set"), ["set-weight", "set-cap"]);
        assert_eq!(near("scroll"), ["scrollback"]);
        assert!(near("nonsense").is_empty());
        assert!(near("").is_empty());
        assert!(near(&"s".repeat(128)).is_empty());
    }
}
