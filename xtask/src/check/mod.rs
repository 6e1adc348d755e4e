//! `cargo xtask check`: what CI says, said earlier.

use anyhow::Result;
use std::process::ExitCode;

/// Stub until the checks are in.
///
/// # Errors
/// None.
pub fn run(_only: Option<&str>) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
