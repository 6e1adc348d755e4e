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
    /// Folder of the test guests.
    pub guests: PathBuf,
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

    /// A built test guest without its ELF headers: its first segment, beside it.
    ///
    /// # Errors
    /// There is no such guest, or it is no ELF file with a segment to load.
    pub fn flat_test_guest(&self, name: &str) -> Result<PathBuf> {
        let path = self.test_guest(name);
        let file = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let segment = first_segment(&file)
            .with_context(|| format!("{} is no ELF file to load", path.display()))?;
        let flat = path.with_extension("flat");
        // Another boot may be reading it: replaced at once.
        let new = path.with_extension(format!("flat.{:?}", std::thread::current().id()));
        std::fs::write(&new, segment).with_context(|| format!("writing {}", new.display()))?;
        std::fs::rename(&new, &flat).with_context(|| format!("writing {}", flat.display()))?;
        Ok(flat)
    }

    /// An image with loader and hypervisor, and this configuration.
    pub fn image(&self, config: &str) -> Spec {
        let mut spec = Spec::bootable(&self.loader, &self.hypervisor).config(config);
        // Nothing here has a disk, and smaller is sooner written.
        spec.data_bytes = 0;
        spec
    }
}

/// The bytes of the first segment to load of a 64-bit ELF file. (ELF-64 object file format, figures 2 and 6)
fn first_segment(file: &[u8]) -> Option<&[u8]> {
    const LOAD: u64 = 1;
    let number = |at: usize, len_bytes: usize| {
        let bytes = file.get(at..at.checked_add(len_bytes)?)?;
        let digits = bytes.iter().rev();
        Some(digits.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let headers = usize::try_from(number(0x20, 8)?).ok()?;
    let header_bytes = usize::try_from(number(0x36, 2)?).ok()?;
    let count = usize::try_from(number(0x38, 2)?).ok()?;
    let header = (0..count)
        .map(|index| headers + index * header_bytes)
        .find(|header| number(*header, 4) == Some(LOAD))?;
    let start = usize::try_from(number(header + 0x8, 8)?).ok()?;
    let len_bytes = usize::try_from(number(header + 0x20, 8)?).ok()?;
    file.get(start..start.checked_add(len_bytes)?)
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
    fn the_first_segment_is_the_one_to_load() {
        let mut file = vec![0; 0x100];
        (file[0x20], file[0x36], file[0x38]) = (0x40, 0x38, 2);
        // A note, then the segment: four bytes at 0xf0.
        (file[0x40], file[0x78], file[0x80], file[0x98]) = (4, 1, 0xf0, 4);
        file[0xf0..0xf4].copy_from_slice(b"code");
        assert_eq!(first_segment(&file), Some(b"code".as_slice()));
        file[0x98] = 0x20;
        assert_eq!(first_segment(&file), None);
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
