//! Building what runs on bare metal: the hypervisor, the boot loader, the test guests.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::toolchain::{self, NONE, UEFI};

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Optimized; what users, tests and measurements run.
    #[default]
    Release,
    /// Quick to build, with debug assertions.
    Dev,
}

/// A built program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name of the binary.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Builds the hypervisor: the ELF file the boot loader starts.
///
/// # Errors
/// No toolchain, or the build fails; the compiler's words were printed.
pub fn caisson(profile: Profile) -> Result<PathBuf> {
    one("caisson", NONE, profile)
}

/// Builds the hypervisor as [`Profile::Release`] does, with line tables that tell where each of its instructions comes from. In a
/// folder of its own, so that it is never taken for the other.
///
/// # Errors
/// As [`caisson`].
pub fn caisson_with_lines() -> Result<PathBuf> {
    let mut command = toolchain::bare()?.cargo_build_in(NONE, "bare-lines")?;
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only");
    only(
        "caisson",
        built(
            "caisson with line tables",
            "caisson",
            NONE,
            Profile::Release,
            command,
        )?,
    )
}

/// Builds the boot loader: `BOOTX64.EFI`.
///
/// # Errors
/// As [`caisson`].
pub fn loader(profile: Profile) -> Result<PathBuf> {
    one("loader", UEFI, profile)
}

/// Builds all test guests.
///
/// # Errors
/// As [`caisson`].
pub fn test_guests(profile: Profile) -> Result<Vec<Program>> {
    package("test-guests", NONE, profile)
}

fn one(name: &str, target: &str, profile: Profile) -> Result<PathBuf> {
    only(name, package(name, target, profile)?)
}

fn only(name: &str, programs: Vec<Program>) -> Result<PathBuf> {
    programs
        .into_iter()
        .find(|program| program.name == name)
        .map(|program| program.path)
        .with_context(|| format!("package `{name}` has no binary `{name}`"))
}

/// Builds one package for one bare-metal target; returns its binaries.
///
/// # Errors
/// As [`caisson`].
pub fn package(name: &str, target: &str, profile: Profile) -> Result<Vec<Program>> {
    let command = toolchain::bare()?.cargo_build(target)?;
    built(name, name, target, profile, command)
}

fn built(
    what: &str,
    package: &str,
    target: &str,
    profile: Profile,
    mut command: Command,
) -> Result<Vec<Program>> {
    command.args([
        "--package",
        package,
        "--message-format=json-render-diagnostics",
    ]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    let messages = crate::command::watched(&format!("building {what}"), &mut command)?;
    let programs = programs_in(&messages);
    if programs.is_empty() {
        bail!("package `{package}` built no binary for {target}");
    }
    Ok(programs)
}

/// The part of cargo's JSON messages that interests us.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

pub(crate) fn programs_in(messages: &str) -> Vec<Program> {
    let mut programs: Vec<Program> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| {
            Some(Program {
                name: message.target?.name,
                path: message.executable?,
            })
        })
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"addr\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"caisson\"},\"executable\":\"/x/caisson\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        let programs = programs_in(messages);
        assert_eq!(programs.len(), 1);
        assert_eq!(programs[0].name, "caisson");
        assert_eq!(programs[0].path, PathBuf::from("/x/caisson"));
    }
}
