//! What goes on the images: built programs and fetched guests.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::build::Profile;
use xtask::image::Spec;

/// Paths of what was built.
#[derive(Clone, Debug)]
pub struct Parts {
    /// `caisson.elf`.
    pub hypervisor: PathBuf,
    /// `BOOTX64.EFI`.
    pub loader: PathBuf,
    guests: PathBuf,
}

impl Parts {
    /// Takes what the environment names (`CAISSON_ELF`, `CAISSON_LOADER`, `CAISSON_TEST_GUESTS`) and builds the rest.
    ///
    /// # Errors
    /// Something does not build.
    pub fn find() -> Result<Self> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let hypervisor = match named("CAISSON_ELF") {
            Some(path) => path,
            None => xtask::build::caisson(Profile::Release)?,
        };
        let loader = match named("CAISSON_LOADER") {
            Some(path) => path,
            None => xtask::build::loader(Profile::Release)?,
        };
        let guests = match named("CAISSON_TEST_GUESTS") {
            Some(path) => path,
            None => xtask::build::test_guests(Profile::Release)?
                .first()
                .and_then(|guest| guest.path.parent())
                .map(Path::to_owned)
                .context("package `test-guests` has no program")?,
        };
        Ok(Self {
            hypervisor,
            loader,
            guests,
        })
    }

    /// A built test guest.
    pub fn test_guest(&self, name: &str) -> PathBuf {
        self.guests.join(name)
    }

    /// An image with loader and hypervisor, and this configuration.
    pub fn image(&self, config: &str) -> Spec {
        let mut spec = Spec::bootable(&self.loader, &self.hypervisor).config(config);
        // Nothing here has a disk, and smaller is sooner written.
        spec.data_bytes = 0;
        spec
    }
}

/// A test guest, as its source tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestGuest {
    /// The program.
    pub name: String,
    /// vCPUs of its VM.
    pub cpus: u32,
}

/// All test guests, from their sources, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn test_guests() -> Result<Vec<TestGuest>> {
    let folder = xtask::paths::root().join("tests/guests/src/bin");
    let mut guests = Vec::new();
    for file in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        guests.extend(path.file_stem().map(|stem| TestGuest {
            name: stem.to_string_lossy().into_owned(),
            cpus: cpus_in(&source),
        }));
    }
    guests.sort();
    Ok(guests)
}

/// How many vCPUs a guest's line `guest!(test, cpus = 4);` asks for; one if it says nothing.
fn cpus_in(source: &str) -> u32 {
    let count = |line: &str| {
        let (_, count) = line.strip_prefix("guest!(")?.split_once("cpus = ")?;
        count.strip_suffix(");")?.parse().ok()
    };
    source.lines().find_map(count).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_says_how_many_cpus_it_wants() {
        assert_eq!(cpus_in("//! guest!\nguest!(test, cpus = 18);\n"), 18);
        assert_eq!(cpus_in("guest!(test);\n"), 1);
    }

    #[test]
    fn all_guests_are_found() {
        let guests = test_guests().unwrap();
        let cpus = |name: &str| {
            guests
                .iter()
                .find(|guest| guest.name == name)
                .map(|g| g.cpus)
        };
        assert_eq!(cpus("cpuid"), Some(1));
        assert_eq!(cpus("smp_32"), Some(32));
    }
}
