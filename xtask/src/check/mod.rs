//! `cargo xtask check`: what CI says, said earlier.

mod disassembly;
mod layering;
mod lints;
mod tokens;
mod tools;
mod unsafety;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::ui::say;
use workspace::Workspace;

/// One check: its name, and what finds its faults. A fault is a line that names file and reason.
type Check = (&'static str, fn(&Workspace) -> Result<Vec<String>>);

const CHECKS: [Check; 8] = [
    ("format", tools::format),
    ("layering", layering::faults),
    ("lints", lints::faults),
    ("unsafe", unsafety::faults),
    ("clippy", tools::clippy),
    ("clippy-tests", tools::clippy_tests),
    ("unit-tests", tools::unit_tests),
    ("no-vector-code", disassembly::faults),
];

/// How many lines of our crates hold `unsafe`.
///
/// # Errors
/// The workspace cannot be read.
pub fn unsafe_lines() -> Result<usize> {
    unsafety::count_lines(&Workspace::read()?)
}

/// Runs all checks, or those whose name contains `only`; each is run even if an earlier one failed.
///
/// # Errors
/// No check has such a name, or the workspace cannot be read.
pub fn run(only: Option<&str>) -> Result<ExitCode> {
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|(name, _)| only.is_none_or(|part| name.contains(part)))
        .collect();
    if chosen.is_empty() {
        let names = CHECKS.map(|(name, _)| name).join(", ");
        bail!("no check is called so; there are: {names}");
    }
    let workspace = Workspace::read()?;
    let mut failed = 0;
    for (name, check) in &chosen {
        let faults = check(&workspace).unwrap_or_else(|error| vec![format!("{error:#}")]);
        for fault in &faults {
            println!("{name}: {fault}");
        }
        failed += usize::from(!faults.is_empty());
        say(format!(
            "{name}: {}",
            if faults.is_empty() { "good" } else { "FAILED" }
        ));
    }
    println!(
        "{} of {} checks passed",
        chosen.len() - failed,
        chosen.len()
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
