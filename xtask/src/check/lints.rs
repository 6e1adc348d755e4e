//! Lints that are written down but not inherited protect nobody.

use anyhow::Result;

use super::workspace::Workspace;

/// Every manifest must have `[lints] workspace = true`.
pub(super) fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let missing = workspace.crates.iter().filter(|one| !one.inherits_lints());
    Ok(missing
        .map(|one| {
            format!(
                "{}/Cargo.toml does not say `[lints] workspace = true`",
                one.folder
            )
        })
        .collect())
}
