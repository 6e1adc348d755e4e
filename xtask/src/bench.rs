//! `cargo xtask bench`: the measuring is done by the machine tests' program; this makes sure it can.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Runs the measurements: one table on standard output and `target/bench.json`.
///
/// # Errors
/// Something is missing or does not build.
pub fn run(rest: &[String]) -> Result<ExitCode> {
    crate::setup::tools()?;
    let program = crate::test::machine_tests()?;
    let status = Command::new(&program)
        .arg("bench")
        .args(rest)
        .current_dir(crate::paths::root())
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
