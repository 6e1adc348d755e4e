//! What is said to somebody whose command cannot be carried out.

use super::line::commands;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_cli::service::ParseError;

/// What is wrong with a command, and what to do.
pub(super) fn explain(name: &str, error: &ParseError<'_>) -> String {
    match error {
        ParseError::UnknownCommand => no_command(name),
        ParseError::MissingRequiredArgument { name: what } => {
            format!("{name} needs {what}; `help {name}` shows how it is used\n")
        }
        ParseError::ParseValueError { value, expected } => {
            // The only numbers there are here.
            let expected = match *expected {
                "u32" => "a number from 0 to 4294967295",
                other => other,
            };
            format!("{value:?} is not {expected}; `help {name}` shows how {name} is used\n")
        }
        ParseError::UnexpectedArgument { value } => {
            format!("{name} does not take {value:?}; `help {name}` shows how it is used\n")
        }
        _ => format!("{name} does not take options; `help {name}` shows how it is used\n"),
    }
}

/// What is answered to this line, if it asks for help on what is no command: the editor answers such questions by itself, and would
/// say no more than that.
pub(super) fn own_help(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let about = match words.next()? {
        "help" => words.next().filter(|word| !word.starts_with('-')),
        first => words
            .any(|word| matches!(word, "--help" | "-h"))
            .then_some(first),
    }?;
    if about == "help" {
        return Some("`help` lists the commands, `help COMMAND` explains one\n".into());
    }
    let exists = commands().iter().any(|name| name == about);
    (!exists).then(|| no_command(about))
}

fn no_command(name: &str) -> String {
    let commands = commands();
    let near: Vec<String> = near(name, &commands)
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let meant = match &near[..] {
        [] => String::new(),
        near => format!("did you mean {}? ", near.join(" or ")),
    };
    format!("there is no command {name:?}; {meant}`help` lists them\n")
}

/// Longer words are no slips.
const LONGEST_BYTES: usize = 16;

/// Those of `names` that differ from `word` by a slip or two, or begin as it does.
fn near<'a>(word: &str, names: &'a [String]) -> Vec<&'a str> {
    if word.len() > LONGEST_BYTES {
        return Vec::new();
    }
    let slips = (word.len() / 3).clamp(1, 2);
    names
        .iter()
        .map(String::as_str)
        .filter(|name| {
            let is_begun = word.len() >= 2 && (name.starts_with(word) || word.starts_with(*name));
            is_begun || distance(word.as_bytes(), name.as_bytes()) <= slips
        })
        .collect()
}

/// How many letters must be put in, left out or changed, or swapped with the next, to get from one to the other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    // Three rows of the table, by how much of `one` is used: two letters ago, one letter ago, now.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut now = alloc::vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != wanted);
            let mut least = changed.min(last[column + 1] + 1).min(now[column] + 1);
            if row > 0 && column > 0 && one[row - 1] == *wanted && other[column - 1] == *letter {
                least = least.min(before[column - 1] + 1);
            }
            now.push(least);
        }
        before = core::mem::replace(&mut last, now);
    }
    last[other.len()]
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
        let names = names.map(String::from);
        assert_eq!(near("statr", &names), ["start"]);
        assert_eq!(near("vm", &names), ["vms"]);
        assert_eq!(near("vmss", &names), ["vms"]);
        assert_eq!(near("set", &names), ["set-weight", "set-cap"]);
        assert_eq!(near("scroll", &names), ["scrollback"]);
        assert!(near("nonsense", &names).is_empty());
        assert!(near("", &names).is_empty());
        assert!(near(&"s".repeat(128), &names).is_empty());
    }
}
