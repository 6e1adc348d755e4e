//! Licences of everything that goes into the image, the loader and xtask.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use spdx::{Expression, Licensee, ParseMode};

use super::linked::{Edges, Package, Program, packages};
use crate::ui::Step;

/// Licences of packages that may go in: they ask for no more than their text beside the program.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A package that may have one more licence.
struct Exception {
    package: &'static str,
    licence: &'static str,
    /// Reason to accept it.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    package: "ucs2",
    licence: "MPL-2.0",
    reason: "`uefi` converts strings with it; used unchanged, and MPL-2.0 binds its own files only",
}];

/// As manifests on crates.io are written: `/` is an older way to say OR.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: true,
    allow_deprecated: true,
    ..ParseMode::STRICT
};

/// Names every package whose licence is not allowed, and every exception that nobody needs.
pub(super) fn faults(_: &super::Workspace) -> Result<Vec<String>> {
    let step = Step::start("licences");
    let mut faults = Vec::new();
    let mut judged = BTreeSet::new();
    for program in [Program::Image, Program::Loader, Program::Xtask] {
        for package in packages(program, Edges::Built)? {
            if !judged.contains(&package) {
                if let Some(fault) = fault(&package, EXCEPTIONS)? {
                    faults.push(format!("in {}: {fault}", program.name()));
                }
                judged.insert(package);
            }
        }
    }
    faults.extend(needless(&judged, EXCEPTIONS)?);
    if faults.is_empty() {
        step.done(&format!("{} packages", judged.len()));
    }
    Ok(faults)
}

/// Returns what is wrong with the licence of `package`, if anything.
fn fault(package: &Package, exceptions: &[Exception]) -> Result<Option<String>> {
    let Package {
        name,
        version,
        licence,
    } = package;
    if licence.is_empty() {
        return Ok(Some(format!("{name} {version} names no licence")));
    }
    let expression = match Expression::parse_mode(licence, MODE) {
        Ok(expression) => expression,
        Err(error) => {
            let reason = error.reason;
            return Ok(Some(format!(
                "{name} {version}: `{licence}` is no SPDX expression: {reason}"
            )));
        }
    };
    let own = exceptions
        .iter()
        .filter(|exception| exception.package == name)
        .map(|exception| exception.licence);
    let allowed = licensees(ALLOWED.into_iter().chain(own))?;
    let is_allowed =
        expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)));
    Ok((!is_allowed).then(|| {
        format!(
            "{name} {version} is under `{licence}`, which is not in the list of \
             xtask/src/check/licences.rs"
        )
    }))
}

fn licensees<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Licensee>> {
    names
        .map(|name| Licensee::parse(name).with_context(|| format!("`{name}` is no SPDX licence")))
        .collect()
}

/// Names the exceptions without which `packages` would pass as well.
fn needless(packages: &BTreeSet<Package>, exceptions: &[Exception]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for exception in exceptions {
        let mut is_needed = false;
        for package in packages.iter().filter(|one| one.name == exception.package) {
            is_needed |= fault(package, &[])?.is_some();
        }
        if !is_needed {
            faults.push(format!(
                "nothing needs the exception for {} any more ({}): take it out of \
                 xtask/src/check/licences.rs",
                exception.package, exception.reason
            ));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, licence: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
        }
    }

    fn is_allowed(licence: &str) -> bool {
        fault(&package("some", licence), EXCEPTIONS)
            .unwrap()
            .is_none()
    }

    #[test]
    fn one_allowed_licence_of_several_is_enough() {
        assert!(is_allowed("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("Apache-2.0 / MIT"));
        assert!(is_allowed("GPL-2.0 OR MIT"));
        assert!(!is_allowed("GPL-2.0-only OR LGPL-2.1-or-later"));
    }

    #[test]
    fn all_licences_that_hold_at_once_must_be_allowed() {
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
        assert!(!is_allowed("MIT AND (GPL-3.0-only OR MPL-2.0)"));
        // AND binds tighter than OR.
        assert!(is_allowed("MIT OR Apache-2.0 AND GPL-3.0-only"));
    }

    #[test]
    fn a_licence_with_an_addition_is_another_licence() {
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!is_allowed("GPL-2.0-only WITH Classpath-exception-2.0"));
        assert!(!is_allowed("MIT WITH LLVM-exception"));
    }

    #[test]
    fn what_is_no_licence_is_a_fault() {
        assert!(!is_allowed(""));
        assert!(!is_allowed("see the file"));
        assert!(!is_allowed("LicenseRef-Ours"));
    }

    #[test]
    fn an_exception_is_for_its_package_alone() {
        assert!(!is_allowed("MPL-2.0"));
        let ucs2 = package("ucs2", "MPL-2.0");
        assert_eq!(fault(&ucs2, EXCEPTIONS).unwrap(), None);
        assert!(fault(&ucs2, &[]).unwrap().is_some());
    }

    #[test]
    fn an_exception_nothing_needs_is_a_fault() {
        let needed = BTreeSet::from([package("ucs2", "MPL-2.0")]);
        assert!(needless(&needed, EXCEPTIONS).unwrap().is_empty());
        let relicensed = BTreeSet::from([package("ucs2", "MIT OR MPL-2.0")]);
        assert_eq!(needless(&relicensed, EXCEPTIONS).unwrap().len(), 1);
        assert_eq!(needless(&BTreeSet::new(), EXCEPTIONS).unwrap().len(), 1);
    }

    #[test]
    fn every_licence_of_the_lists_is_one() {
        let own = EXCEPTIONS.iter().map(|exception| exception.licence);
        assert!(licensees(ALLOWED.into_iter().chain(own)).is_ok());
    }
}
