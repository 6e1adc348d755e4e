//! One version of each crate in the image and in the loader: two cost memory, and their types do
//! not fit each other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::linked::{Edges, Package, Program, packages};
use crate::ui::Step;

/// A crate that is there more than once, in exactly these versions.
struct Exception {
    program: Program,
    name: &'static str,
    /// The versions up to what semver calls compatible: `0.9`, `0.12`.
    versions: &'static [&'static str],
    /// Reason why it cannot be mended here.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    program: Program::Image,
    name: "spin",
    versions: &["0.9", "0.12"],
    reason: "iced-x86 without std takes lazy_static, whose last release asks for spin 0.9",
}];

/// Names every crate that is linked in two versions, and every exception that nobody needs.
pub(super) fn faults(_: &super::Workspace) -> Result<Vec<String>> {
    let step = Step::start("duplicates");
    let mut faults = Vec::new();
    for program in [Program::Image, Program::Loader] {
        faults.extend(faults_in(
            program,
            &packages(program, Edges::Linked)?,
            EXCEPTIONS,
        ));
    }
    if faults.is_empty() {
        step.done("");
    }
    Ok(faults)
}

fn faults_in(
    program: Program,
    packages: &BTreeSet<Package>,
    exceptions: &[Exception],
) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut faults = Vec::new();
    for exception in exceptions.iter().filter(|one| one.program == program) {
        let is_needed = versions
            .get(exception.name)
            .is_some_and(|versions| exception.covers(versions));
        if is_needed {
            versions.remove(exception.name);
        } else {
            faults.push(format!(
                "{} does not hold {} in the versions {} any more ({}): mend \
                 xtask/src/check/duplicates.rs",
                program.name(),
                exception.name,
                exception.versions.join(" and "),
                exception.reason
            ));
        }
    }
    faults.extend(versions.into_iter().map(|(name, versions)| {
        let versions: Vec<&str> = versions.into_iter().collect();
        format!(
            "{} holds {name} more than once, in the versions {}",
            program.name(),
            versions.join(" and ")
        )
    }));
    faults
}

impl Exception {
    /// Returns whether `versions` are one of each series that it names, and no more.
    fn covers(&self, versions: &BTreeSet<&str>) -> bool {
        versions.len() == self.versions.len()
            && self.versions.iter().all(|series| {
                versions.iter().any(|version| {
                    version
                        .strip_prefix(series)
                        .is_some_and(|rest| rest.starts_with('.'))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: &[Exception] = &[Exception {
        program: Program::Image,
        name: "spin",
        versions: &["0.9", "0.12"],
        reason: "a test",
    }];

    fn faults(packages: &[(&str, &str)], exceptions: &[Exception]) -> Vec<String> {
        let packages = packages
            .iter()
            .map(|(name, version)| Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                licence: "MIT".to_owned(),
            })
            .collect();
        faults_in(Program::Image, &packages, exceptions)
    }

    #[test]
    fn two_versions_of_a_crate_are_named() {
        let found = faults(
            &[("log", "0.4.1"), ("spin", "0.12.3"), ("spin", "0.9.9")],
            &[],
        );
        assert_eq!(
            found,
            ["the image holds spin more than once, in the versions 0.12.3 and 0.9.9"]
        );
        assert!(faults(&[("log", "0.4.1"), ("spin", "0.12.3")], &[]).is_empty());
    }

    #[test]
    fn an_exception_is_for_its_versions_alone() {
        assert!(faults(&[("spin", "0.12.3"), ("spin", "0.9.9")], SPIN).is_empty());
        let third = [("spin", "0.12.3"), ("spin", "0.9.9"), ("spin", "0.10.0")];
        assert_eq!(faults(&third, SPIN).len(), 2);
        // 0.9 is not the beginning of 0.91.
        assert_eq!(
            faults(&[("spin", "0.12.3"), ("spin", "0.91.0")], SPIN).len(),
            2
        );
    }

    #[test]
    fn an_exception_nothing_needs_is_a_fault() {
        let found = faults(&[("spin", "0.12.3")], SPIN);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("the image does not hold spin"));
    }

    #[test]
    fn an_exception_is_for_its_program_alone() {
        let packages = [("spin", "0.12.3"), ("spin", "0.9.9")]
            .map(|(name, version)| Package {
                name: name.to_owned(),
                version: version.to_owned(),
                licence: String::new(),
            })
            .into();
        assert_eq!(faults_in(Program::Loader, &packages, SPIN).len(), 1);
    }
}
