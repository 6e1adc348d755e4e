//! Debian's package manager: installed without a question, as root or through sudo.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::ui::say;

const INSTALL: [&str; 5] = [
    "apt-get",
    "install",
    "--yes",
    "--no-install-recommends",
    "-q",
];

/// The command that installs `packages`, as one would type it.
fn command_line(packages: &[&str]) -> String {
    format!("{}{} {}", sudo(), INSTALL.join(" "), packages.join(" "))
}

/// The same, with fetching the package lists first where apt has none yet.
pub(super) fn command_line_from_scratch(packages: &[&str]) -> String {
    let update = if has_candidates(packages) {
        String::new()
    } else {
        format!("{}apt-get update && ", sudo())
    };
    update + &command_line(packages)
}

fn sudo() -> &'static str {
    if is_root() { "" } else { "sudo " }
}

/// True if apt knows where to get every one of `packages` (after fetching its lists, if it had none).
pub fn offers(packages: &[&str]) -> bool {
    command::find("apt-cache").is_some()
        && (has_candidates(packages) || (update().is_ok() && has_candidates(packages)))
}

fn has_candidates(packages: &[&str]) -> bool {
    packages.iter().all(|package| {
        command::output(Command::new("apt-cache").args(["policy", package])).is_ok_and(|text| {
            candidate(&text).is_some_and(|version| is_new_enough(package, version))
        })
    })
}

/// The version that `apt-cache policy` would install, if it knows one.
fn candidate(policy: &str) -> Option<&str> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))?
        .trim();
    (version != "(none)").then_some(version)
}

/// Returns whether this version of `package` can be used.
///
/// Package lists that are months old offer a compiler that is too old, where fresh ones offer its successor.
fn is_new_enough(package: &str, version: &str) -> bool {
    !matches!(package, "rustc-web" | "cargo-web" | "rust-web-src")
        || crate::toolchain::is_supported(version)
}

/// Fetches apt's package lists, once per process.
///
/// # Errors
/// apt-get fails (no network), or nothing may be installed.
pub fn update() -> Result<()> {
    static DONE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if super::is_install_forbidden() {
        bail!(
            "apt's package lists are missing or old; not fetched, as asked; the command is:\n  {}apt-get update",
            sudo()
        );
    }
    let mut error = None;
    let done = *DONE.get_or_init(|| {
        command::watched(
            "fetching the package lists (apt-get update)",
            &mut root(&["apt-get", "update", "-q"]),
        )
        .map_err(|e| error = Some(e))
        .is_ok()
    });
    match error {
        Some(e) => Err(e),
        None if !done => bail!("apt-get update failed before"),
        None => Ok(()),
    }
}

/// Installs `packages`.
///
/// # Errors
/// apt-get fails twice, the second time with fresh lists.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    say(format!("installing: {}", command_line(packages)));
    if !is_root() && command::find("sudo").is_none() {
        bail!(
            "not root, and there is no sudo; as root: {}",
            command_line(packages)
        );
    }
    if !has_candidates(packages) {
        update()?;
    }
    let mut args = INSTALL.to_vec();
    args.extend(packages);
    let label = format!("installing {}", packages.join(" "));
    if command::watched(&label, &mut root(&args)).is_ok() {
        return Ok(());
    }
    say("trying again with fresh package lists");
    update()?;
    command::watched(&label, &mut root(&args))
        .map(drop)
        .context("installing what is missing")
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A command run as root, that asks nothing.
fn root(args: &[&str]) -> Command {
    let env = ["env", "DEBIAN_FRONTEND=noninteractive"];
    let mut words: Vec<&str> = if is_root() { Vec::new() } else { vec!["sudo"] };
    words.extend(env);
    words.extend(args);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        "rustc-web:\n  Installed: (none)\n  Candidate: 1.85.0+dfsg3-1~deb12u3\n  Version table:\n";

    #[test]
    fn a_compiler_from_old_lists_is_no_candidate() {
        let version = candidate(POLICY).unwrap();
        assert_eq!(version, "1.85.0+dfsg3-1~deb12u3");
        assert!(!is_new_enough("rustc-web", version));
        assert!(is_new_enough("rustc-web", "1.96.0+dfsg1-1~deb12u1"));
        assert!(is_new_enough("bochs", "2.7+dfsg-4"));
    }

    #[test]
    fn a_package_nobody_offers_has_no_candidate() {
        assert_eq!(
            candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(candidate(""), None);
    }
}
