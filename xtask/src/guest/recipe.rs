//! A guest's recipe: `guest-images/NAME.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Where a file comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromPackage {
    /// Debian package.
    pub(super) package: String,
    /// Path in it; a `*` at its end stands for anything.
    pub(super) file: String,
}

/// The VM a guest runs in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// How many vCPUs.
    pub cpus: u32,
    /// How much memory, as `caisson.toml` writes it.
    pub memory: String,
    /// Kernel command line.
    pub cmdline: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Initramfs {
    package: String,
    file: String,
    overlay: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    summary: String,
    kernel: FromPackage,
    initramfs: Initramfs,
    vm: Vm,
}

/// A recipe that was read.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: String,
    text: String,
    content: Content,
    busybox: FromPackage,
}

fn folder() -> PathBuf {
    crate::paths::root().join("guest-images")
}

/// Names of all recipes, sorted.
pub(super) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder()).context("reading guest-images/")? {
        let path = file?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

impl Recipe {
    /// Reads the recipe of this name.
    pub(super) fn read(name: &str) -> Result<Self> {
        if !names()?.iter().any(|other| other == name) {
            bail!("no guest `{name}`; there are: {}", names()?.join(", "));
        }
        let path = folder().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        Self::parse(name, text).with_context(|| format!("in {}", crate::paths::shown(&path)))
    }

    fn parse(name: &str, text: String) -> Result<Self> {
        let content: Content = toml::from_str(&text)?;
        let initramfs = &content.initramfs;
        let busybox = FromPackage {
            package: initramfs.package.clone(),
            file: initramfs.file.clone(),
        };
        Ok(Self {
            name: name.to_owned(),
            text,
            content,
            busybox,
        })
    }

    pub(super) fn summary(&self) -> &str {
        &self.content.summary
    }

    pub(super) fn kernel(&self) -> &FromPackage {
        &self.content.kernel
    }

    pub(super) fn busybox(&self) -> &FromPackage {
        &self.busybox
    }

    pub(super) fn vm(&self) -> &Vm {
        &self.content.vm
    }

    /// Folder whose files are laid into the initramfs.
    pub(super) fn overlay_folder(&self) -> PathBuf {
        folder().join(&self.content.initramfs.overlay)
    }

    /// A hash of all that goes into the files besides the packages.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let mut all = self.text.clone().into_bytes();
        all.extend(super::cpio::FORMAT);
        for (path, bytes) in super::cpio::files_below(&self.overlay_folder())? {
            all.extend(path.as_bytes());
            all.extend(bytes);
        }
        Ok(super::deb::sha256(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads() {
        let names = names().unwrap();
        assert!(names.iter().any(|name| name == super::super::DEFAULT));
        for name in names {
            Recipe::read(&name).unwrap();
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(Recipe::parse("x", "sumary = \"typo\"".to_owned()).is_err());
    }
}
