//! A guest's recipe: `guest-images/NAME.toml`. `guest-images/README.md` says what each key means.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::unpack::Form;

/// What the initramfs prints when it is up; a guest without `up` says this.
pub const MARKER: &str = "CAISSON-GUEST-UP";

/// Where a file comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromPackage {
    /// Debian package; for a meta package the kernel that it depends on is taken.
    pub(super) package: String,
    /// Path in it; a `*` at its end stands for anything.
    pub(super) file: String,
    /// How it is packed in there.
    #[serde(default, rename = "unpack")]
    pub(super) form: Form,
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
    /// What it says on its console when it is up.
    #[serde(default = "marker")]
    pub up: String,
    /// More lines of its `[[vm]]` table, as they stand in `caisson.toml`.
    #[serde(default)]
    pub lines: Vec<String>,
}

fn marker() -> String {
    MARKER.to_owned()
}

/// An initramfs made here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Initramfs {
    /// Debian package that brings its programs.
    pub(super) package: String,
    /// A compressed cpio archive in the package that holds the files; the package itself if absent.
    pub(super) archive: Option<String>,
    /// Files taken; they keep their paths.
    pub(super) files: Vec<String>,
    /// Folder beside the recipe that is laid over them.
    pub(super) overlay: String,
}

/// A further file for a Multiboot kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    /// Its name on the boot volume.
    pub(super) name: String,
    /// Debian package.
    package: String,
    /// Path in it.
    file: String,
    #[serde(default, rename = "unpack")]
    form: Form,
    /// What the kernel is told about it.
    #[serde(default)]
    pub(super) text: String,
}

impl Module {
    pub(super) fn source(&self) -> FromPackage {
        FromPackage {
            package: self.package.clone(),
            file: self.file.clone(),
            form: self.form,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    summary: String,
    kernel: FromPackage,
    initrd: Option<FromPackage>,
    initramfs: Option<Initramfs>,
    #[serde(default)]
    module: Vec<Module>,
    vm: Vm,
}

/// A recipe that was read.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: String,
    text: String,
    content: Content,
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
        ensure!(
            content.initrd.is_none() || content.initramfs.is_none(),
            "either `[initrd]`, a file as packaged, or `[initramfs]`, one made here"
        );
        Ok(Self {
            name: name.to_owned(),
            text,
            content,
        })
    }

    pub(super) fn summary(&self) -> &str {
        &self.content.summary
    }

    pub(super) fn kernel(&self) -> &FromPackage {
        &self.content.kernel
    }

    pub(super) fn initrd(&self) -> Option<&FromPackage> {
        self.content.initrd.as_ref()
    }

    pub(super) fn initramfs(&self) -> Option<&Initramfs> {
        self.content.initramfs.as_ref()
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.content.module
    }

    pub(super) fn vm(&self) -> &Vm {
        &self.content.vm
    }

    /// A hash of all that goes into the files besides the packages.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let mut all = self.text.clone().into_bytes();
        if let Some(initramfs) = self.initramfs() {
            all.extend(super::cpio::FORMAT);
            for (path, bytes) in super::cpio::files_below(&initramfs.overlay_folder())? {
                all.extend(path.as_bytes());
                all.extend(bytes);
            }
        }
        Ok(super::deb::sha256(&all))
    }
}

impl Initramfs {
    /// Folder whose files are laid into the initramfs.
    pub(super) fn overlay_folder(&self) -> PathBuf {
        folder().join(&self.overlay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "summary = \"x\"\n[kernel]\npackage = \"p\"\nfile = \"f\"\n[vm]\ncpus = 1\nmemory = \"16M\"\n\
                         cmdline = \"\"\n";

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

    #[test]
    fn a_kernel_and_a_vm_are_enough() {
        let recipe = Recipe::parse("x", LEAST.to_owned()).unwrap();
        assert_eq!(recipe.vm().up, MARKER);
        assert_eq!(recipe.kernel().form, Form::AsPackaged);
    }

    #[test]
    fn two_initial_ram_disks_are_refused() {
        let both = "[initrd]\npackage = \"p\"\nfile = \"f\"\n[initramfs]\npackage = \"p\"\nfiles = []\noverlay = \"o\"\n";
        assert!(Recipe::parse("x", format!("{LEAST}{both}")).is_err());
    }
}
