//! The packages that are linked into a program, as `cargo tree` tells it.
//!
//! `cargo metadata` answers for the whole workspace at once: a feature that a test turns on, or a
//! weak one that nobody does, makes its dependency appear in the image. `cargo tree --package`
//! resolves as `cargo build --package` does.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::command::output;
use crate::test::cargo;
use crate::toolchain::{NONE, UEFI};

/// A program we hand out or work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// The hypervisor.
    Image,
    /// The boot loader.
    Loader,
    /// This program.
    Xtask,
}

impl Program {
    /// Name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Image => "the image",
            Self::Loader => "the loader",
            Self::Xtask => "xtask",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Image => "caisson",
            Self::Loader => "loader",
            Self::Xtask => "xtask",
        }
    }

    /// The target it is built for; `None` is this PC's.
    fn target(self) -> Option<&'static str> {
        match self {
            Self::Image => Some(NONE),
            Self::Loader => Some(UEFI),
            Self::Xtask => None,
        }
    }
}

/// The kinds of dependencies that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edges {
    /// Normal ones, without procedural macros: the linker is given these.
    Linked,
    /// Procedural macros and build scripts as well, which write code for it.
    Built,
}

impl Edges {
    fn argument(self) -> &'static str {
        match self {
            Self::Linked => "normal,no-proc-macro",
            Self::Built => "normal,build",
        }
    }
}

/// A package in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version, `1.2.3`.
    pub(super) version: String,
    /// The SPDX expression of its manifest; empty if there is none.
    pub(super) licence: String,
}

/// Lists the packages that `program` depends on, itself included.
///
/// # Errors
/// Cargo fails, or its answer is not understood.
pub(super) fn packages(program: Program, edges: Edges) -> Result<BTreeSet<Package>> {
    let mut command = cargo();
    command.args(["tree", "--quiet", "--package", program.package()]);
    command.args(["--edges", edges.argument()]);
    command.args(["--prefix", "none", "--format", "{p}\t{l}"]);
    if let Some(target) = program.target() {
        command.args(["--target", target]);
    }
    parse(&output(&mut command)?)
}

/// Reads lines like `serde v1.0.229<tab>MIT OR Apache-2.0 (*)`; the star marks a repetition.
fn parse(text: &str) -> Result<BTreeSet<Package>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            package(line).with_context(|| format!("`cargo tree` says what is not known: {line}"))
        })
        .collect()
}

fn package(line: &str) -> Option<Package> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split(' ');
    Some(Package {
        name: words.next()?.to_owned(),
        version: words.next()?.strip_prefix('v')?.to_owned(),
        licence: licence.trim_end_matches("(*)").trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_tree_is_read_once_per_package() {
        let text = "caisson v0.1.0 (/x/image)\tMIT OR Apache-2.0\n\
            serde_derive v1.0.2 (proc-macro)\tMIT\n\
            toml v1.2.1+spec-1.1.0\t(MIT OR Apache-2.0) AND Unicode-3.0\n\
            toml v1.2.1+spec-1.1.0\t(MIT OR Apache-2.0) AND Unicode-3.0 (*)\n\
            nameless v1.0.0\t\n\
            nameless v1.0.0\t (*)\n";
        let packages: Vec<_> = parse(text).unwrap().into_iter().collect();
        let told: Vec<_> = packages
            .iter()
            .map(|one| (&*one.name, &*one.version, &*one.licence))
            .collect();
        assert_eq!(
            told,
            [
                ("caisson", "0.1.0", "MIT OR Apache-2.0"),
                ("nameless", "1.0.0", ""),
                ("serde_derive", "1.0.2", "MIT"),
                (
                    "toml",
                    "1.2.1+spec-1.1.0",
                    "(MIT OR Apache-2.0) AND Unicode-3.0"
                ),
            ]
        );
    }

    #[test]
    fn an_answer_that_is_not_understood_is_an_error() {
        assert!(parse("serde 1.0.229 MIT").is_err());
    }
}
