//! Checks that Rust's own tools make.

use std::process::Command;

use anyhow::Result;

use super::workspace::Workspace;
use crate::command::watched;
use crate::test::cargo;

/// rustfmt, all crates.
pub(super) fn format(_: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["fmt", "--all", "--check"]);
    let out = command.output()?;
    if out.status.success() {
        return Ok(Vec::new());
    }
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    let differences = String::from_utf8_lossy(&out.stdout);
    let mut files: Vec<String> = differences
        .lines()
        .filter_map(|line| line.strip_prefix("Diff in "))
        .map(|place| {
            place
                .rsplit_once(".rs")
                .map_or(place, |(path, _)| path)
                .to_owned()
                + ".rs is not formatted"
        })
        .collect();
    files.dedup();
    if files.is_empty() {
        files.push("`cargo fmt --all --check` failed".to_owned());
    }
    Ok(files)
}

/// clippy over the whole workspace, for this PC's target: the bare-metal crates too.
pub(super) fn clippy(_: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--quiet", "--", "-D", "warnings"]);
    verdict("clippy, the whole workspace", &mut command)
}

/// clippy over the tests of what builds on a PC.
pub(super) fn clippy_tests(_: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--tests", "--quiet"]);
    for package in crate::test::BARE {
        command.args(["--exclude", package]);
    }
    command.args(["--", "-D", "warnings"]);
    verdict("clippy, the tests", &mut command)
}

fn verdict(label: &str, command: &mut Command) -> Result<Vec<String>> {
    Ok(match watched(label, command) {
        Ok(_) => Vec::new(),
        Err(error) => vec![format!("{error:#}")],
    })
}

/// The unit tests.
pub(super) fn unit_tests(_: &Workspace) -> Result<Vec<String>> {
    let tally = crate::test::unit_tests()?;
    Ok(if tally.failed == 0 {
        Vec::new()
    } else {
        vec![format!("{} unit tests failed", tally.failed)]
    })
}
