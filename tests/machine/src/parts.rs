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

/// Names of all test guests, from their sources, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn test_guest_names() -> Result<Vec<String>> {
    let folder = xtask::paths::root().join("tests/guests/src/bin");
    let mut names = Vec::new();
    for file in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}
