//! Lints that are written down but not inherited protect nobody.

use anyhow::Result;

use super::workspace::Workspace;

/// What every crate without `unsafe` that guests' values reach says in its root file: these keep
/// such a value from panicking the hypervisor.
const NO_PANIC: &str = "#![warn(clippy::indexing_slicing,clippy::panic,clippy::expect_used,\
                        clippy::unreachable,clippy::wildcard_enum_match_arm)]";
const NO_UNSAFE: &str = "#![forbid(unsafe_code)]";

/// Every manifest must have `[lints] workspace = true`, and every safe crate of the hypervisor the
/// lints against panics.
pub(super) fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for one in &workspace.crates {
        if !one.inherits_lints() {
            faults.push(format!(
                "{}/Cargo.toml does not say `[lints] workspace = true`",
                one.folder
            ));
        }
        let root = one.root_file().unwrap_or_default();
        if is_reached_by_guests(&one.folder) && lacks_lints(&root) {
            faults.push(format!(
                "{}: its root file lacks the lints against panics: {NO_PANIC}",
                one.folder
            ));
        }
    }
    Ok(faults)
}

fn is_reached_by_guests(folder: &str) -> bool {
    folder.starts_with("hypervisor/") || folder == "boot/handoff"
}

/// Returns whether a crate forbids `unsafe` and does not warn of what can panic.
fn lacks_lints(root: &str) -> bool {
    let dense: String = root.chars().filter(|c| !c.is_whitespace()).collect();
    dense.contains(NO_UNSAFE) && !dense.contains(NO_PANIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_crate_without_the_lints_is_found() {
        let safe = "//! A crate.\n#![no_std]\n#![forbid(unsafe_code)]\n";
        assert!(lacks_lints(safe));
        let whole = format!(
            "{safe}#![warn(\n    clippy::indexing_slicing,\n    clippy::panic,\n    clippy::expect_used,\n    \
             clippy::unreachable,\n    clippy::wildcard_enum_match_arm\n)]\n"
        );
        assert!(!lacks_lints(&whole));
        assert!(lacks_lints(&whole.replace("clippy::panic,", "")));
        assert!(!lacks_lints("#![no_std]\n"));
    }

    #[test]
    fn every_layer_of_the_hypervisor_is_looked_at() {
        assert!(is_reached_by_guests("hypervisor/model/pci"));
        assert!(is_reached_by_guests("hypervisor/operator"));
        assert!(is_reached_by_guests("boot/handoff"));
        assert!(!is_reached_by_guests("xtask"));
    }
}
