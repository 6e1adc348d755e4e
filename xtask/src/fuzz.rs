//! `cargo xtask fuzz`: damaged inputs for every parser, for as long as one likes.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::ui::say;

/// Runs the fuzz targets whose name contains `target`, each with so many inputs.
///
/// # Errors
/// Cargo cannot be started.
pub fn run(target: Option<&str>, cases: u32) -> Result<ExitCode> {
    say(format!("{cases} inputs for each target"));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--release", "--package", "fuzz", "--lib", "--"])
        .args(target)
        .env("PROPTEST_CASES", cases.to_string())
        .current_dir(crate::paths::root())
        .status()
        .context("starting cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
