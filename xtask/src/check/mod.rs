//! `cargo xtask check`: what CI says, said earlier.

mod disassembly;
mod duplicates;
mod layering;
mod licences;
mod linked;
mod lints;
mod tokens;
mod tools;
mod unsafety;
mod workspace;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::ui::say;
use tools::Tool;
use workspace::Workspace;

/// One check.
struct Check {
    name: &'static str,
    /// The tool it needs, if a Rust toolchain may come without it.
    tool: Option<Tool>,
    /// Finds its faults: each a line that names file and reason.
    faults: fn(&Workspace) -> Result<Vec<String>>,
}

impl Check {
    const fn own(name: &'static str, faults: fn(&Workspace) -> Result<Vec<String>>) -> Self {
        Self {
            name,
            tool: None,
            faults,
        }
    }

    const fn with(
        tool: Tool,
        name: &'static str,
        faults: fn(&Workspace) -> Result<Vec<String>>,
    ) -> Self {
        Self {
            name,
            tool: Some(tool),
            faults,
        }
    }
}

const UNIT_TESTS: &str = "unit-tests";

const CHECKS: [Check; 11] = [
    Check::with(Tool::Rustfmt, "format", tools::format),
    Check::own("layering", layering::faults),
    Check::own("lints", lints::faults),
    Check::own("unsafe", unsafety::faults),
    Check::own("licences", licences::faults),
    Check::own("duplicates", duplicates::faults),
    Check::with(Tool::Clippy, "clippy", tools::clippy),
    Check::with(Tool::Clippy, "clippy-tests", tools::clippy_tests),
    Check::with(Tool::Rustdoc, "rustdoc", tools::rustdoc),
    Check::own(UNIT_TESTS, tools::unit_tests),
    Check::own("no-vector-code", disassembly::faults),
];

/// Outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Failed(Vec<String>),
    /// Not made; says why.
    LeftOut(String),
}

/// Numbers of checks, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Found no fault.
    pub passed: u32,
    /// Found faults, or could not be made although they must.
    pub failed: u32,
    /// Could not be made here.
    pub left_out: u32,
}

impl Summary {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Good => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::LeftOut(_) => self.left_out += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.left_out > 0 {
            write!(f, ", {} left out", self.left_out)?;
        }
        Ok(())
    }
}

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
    let summary = run_those(|name| only.is_none_or(|part| name.contains(part)))?;
    if summary == Summary::default() {
        let names = CHECKS.map(|check| check.name).join(", ");
        bail!("no check is called so; there are: {names}");
    }
    println!("checks: {summary}");
    Ok(if summary.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the checks that come before the tests: all but the unit tests, which are tests.
///
/// # Errors
/// The workspace cannot be read.
pub fn before_tests() -> Result<Summary> {
    run_those(|name| name != UNIT_TESTS)
}

fn run_those(is_chosen: impl Fn(&str) -> bool) -> Result<Summary> {
    let workspace = Workspace::read()?;
    let mut summary = Summary::default();
    for check in CHECKS.iter().filter(|check| is_chosen(check.name)) {
        let name = check.name;
        let verdict = match check.tool.filter(|tool| !tool.is_there()) {
            Some(tool) => without(tool, crate::ui::is_ci()),
            None => verdict((check.faults)(&workspace)),
        };
        match &verdict {
            Verdict::Good => say(format!("{name}: good")),
            Verdict::Failed(faults) => {
                for fault in faults {
                    println!("{name}: {fault}");
                }
                say(format!("{name}: FAILED"));
            }
            Verdict::LeftOut(reason) => say(format!("{name}: left out: {reason}")),
        }
        summary.count(&verdict);
    }
    Ok(summary)
}

fn verdict(faults: Result<Vec<String>>) -> Verdict {
    match faults {
        Ok(faults) if faults.is_empty() => Verdict::Good,
        Ok(faults) => Verdict::Failed(faults),
        Err(error) => Verdict::Failed(vec![format!("{error:#}")]),
    }
}

/// Judges a check whose tool the toolchain lacks: CI refuses to pass what was not looked at.
fn without(tool: Tool, is_ci: bool) -> Verdict {
    let tool = tool.name();
    let reason = format!("the active Rust toolchain has no {tool}");
    if is_ci {
        Verdict::Failed(vec![format!("{reason}; CI refuses to go without")])
    } else {
        Verdict::LeftOut(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_a_line_here_and_a_failure_in_ci() {
        assert!(matches!(without(Tool::Clippy, false), Verdict::LeftOut(_)));
        let Verdict::Failed(faults) = without(Tool::Clippy, true) else {
            panic!("CI let it pass");
        };
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("no clippy; CI refuses"));
    }

    #[test]
    fn a_check_that_could_not_be_made_has_failed() {
        assert_eq!(verdict(Ok(Vec::new())), Verdict::Good);
        assert_eq!(
            verdict(Err(anyhow::anyhow!("no disk"))),
            Verdict::Failed(vec!["no disk".to_owned()])
        );
    }

    #[test]
    fn what_is_left_out_is_neither_passed_nor_failed() {
        let mut summary = Summary::default();
        summary.count(&Verdict::Good);
        assert_eq!(summary.to_string(), "1 passed, 0 failed");
        summary.count(&without(Tool::Rustfmt, false));
        summary.count(&Verdict::Failed(Vec::new()));
        assert_eq!(summary.to_string(), "1 passed, 1 failed, 1 left out");
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names = CHECKS.map(|check| check.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(names.contains(&UNIT_TESTS));
    }
}
