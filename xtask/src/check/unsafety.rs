//! Where `unsafe` may be written, and that the compiler refuses it elsewhere.

use anyhow::Result;

use super::tokens::words;
use super::workspace::Workspace;

/// Folders whose crates may write `unsafe`.
const MAY: [&str; 4] = [
    "hypervisor/platform/",
    "hypervisor/image",
    "boot/loader",
    "tests/guests",
];

fn may(folder: &str) -> bool {
    MAY.iter().any(|known| match known.strip_suffix('/') {
        Some(parent) => folder
            .strip_prefix(parent)
            .is_some_and(|rest| rest.starts_with('/')),
        None => folder == *known,
    })
}

/// Names every `unsafe` outside its folders, and every crate out there that does not forbid it.
pub(super) fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for one in workspace.crates.iter().filter(|one| !may(&one.folder)) {
        for (path, source) in one.sources()? {
            for (line, _) in words(&source)
                .into_iter()
                .filter(|(_, word)| *word == "unsafe")
            {
                faults.push(format!(
                    "{path}:{line}: `unsafe` belongs into {}",
                    MAY.join(", ")
                ));
            }
        }
        if !one.root_file().is_some_and(|source| forbids(&source)) {
            faults.push(format!(
                "{}: its crate file does not say `#![forbid(unsafe_code)]`",
                one.folder
            ));
        }
    }
    Ok(faults)
}

/// True if `#![forbid(unsafe_code)]` stands in the code.
fn forbids(source: &str) -> bool {
    let words = words(source);
    words
        .windows(2)
        .any(|pair| pair[0].1 == "forbid" && pair[1].1 == "unsafe_code")
}

/// How many lines of the workspace hold `unsafe`, for the benchmark's table.
///
/// # Errors
/// A file cannot be read.
pub(super) fn count_lines(workspace: &Workspace) -> Result<usize> {
    let mut count = 0;
    for one in &workspace.crates {
        for (_, source) in one.sources()? {
            let mut lines: Vec<usize> = words(&source)
                .into_iter()
                .filter(|(_, word)| *word == "unsafe")
                .map(|(line, _)| line)
                .collect();
            lines.dedup();
            count += lines.len();
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_folders_may() {
        assert!(may("hypervisor/platform/vmx") && may("hypervisor/image"));
        assert!(
            !may("hypervisor/platform-like")
                && !may("hypervisor/vmm")
                && !may("hypervisor/model/addr")
        );
    }

    #[test]
    fn a_commented_out_forbid_does_not_count() {
        assert!(forbids("#![forbid(unsafe_code)]"));
        assert!(!forbids("// #![forbid(unsafe_code)]"));
    }
}
