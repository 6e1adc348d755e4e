//! Checks that Rust's own tools make.

use std::process::Command;

use anyhow::Result;

use super::workspace::Workspace;
use crate::command::watched;
use crate::test::{BARE, cargo};
use crate::ui::Step;

/// A tool that a Rust toolchain may come without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// `cargo fmt`.
    Rustfmt,
    /// `cargo clippy`.
    Clippy,
    /// `rustdoc`, which `cargo doc` calls.
    Rustdoc,
}

impl Tool {
    /// Name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rustfmt => "rustfmt",
            Self::Clippy => "clippy",
            Self::Rustdoc => "rustdoc",
        }
    }

    /// Returns whether the active toolchain has it.
    pub(super) fn is_there(self) -> bool {
        let mut command = match self {
            Self::Rustfmt => cargo_with("fmt"),
            Self::Clippy => cargo_with("clippy"),
            Self::Rustdoc => {
                Command::new(std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()))
            }
        };
        crate::command::output(command.arg("--version")).is_ok()
    }
}

fn cargo_with(subcommand: &str) -> Command {
    let mut command = cargo();
    command.arg(subcommand);
    command
}

/// rustfmt, all crates.
pub(super) fn format(_: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["fmt", "--all", "--check"]);
    let step = Step::start("rustfmt");
    let out = command.output()?;
    if out.status.success() {
        step.done("");
        return Ok(Vec::new());
    }
    drop(step);
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

/// rustdoc over the whole workspace, private items too, for this PC's target as with clippy.
///
/// The test guests come after the others: one of their programs has the name of a crate, and two
/// rustdocs at once would write into one folder.
pub(super) fn rustdoc(_: &Workspace) -> Result<Vec<String>> {
    const GUESTS: &str = "test-guests";
    let mut faults = Vec::new();
    for (label, packages) in [
        (
            "rustdoc, the workspace",
            ["--workspace", "--exclude", GUESTS].as_slice(),
        ),
        ("rustdoc, the test guests", &["--package", GUESTS]),
    ] {
        let mut command = cargo();
        command
            .args(["doc", "--no-deps", "--document-private-items"])
            .args(["--keep-going", "--quiet"])
            .args(packages)
            // Cargo would take the encoded one instead.
            .env_remove("CARGO_ENCODED_RUSTDOCFLAGS")
            .env("RUSTDOCFLAGS", "-D warnings");
        faults.extend(verdict(label, &mut command)?);
    }
    Ok(faults)
}

/// clippy over the tests of what builds on a PC.
pub(super) fn clippy_tests(_: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--tests", "--quiet"]);
    for package in BARE {
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
