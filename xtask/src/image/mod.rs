//! Disk images: a GPT disk with the ESP that firmware boots from, and a data partition for guests' disks.
//!
//! What goes where on the boot volume is said here once; the loader looks in the same places.

mod fat;
mod gpt_disk;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::ui::Step;

/// Where firmware looks for a boot loader on a removable disk.
pub const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// The hypervisor on the boot volume.
pub const HYPERVISOR: &str = "caisson/caisson.elf";
/// The configuration on the boot volume.
pub const CONFIG: &str = "caisson.toml";

/// Where the bytes of a file come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From memory.
    Bytes(Vec<u8>),
    /// Copied from a file of this machine.
    File(PathBuf),
}

/// A file on the boot volume.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path from the volume's root, with `/`; folders are made.
    pub path: String,
    /// Its content.
    pub source: Source,
}

/// What an image is to hold.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Files on the ESP.
    pub files: Vec<Entry>,
    /// Least size of the data partition; 0 makes none.
    pub data_bytes: u64,
}

/// The smallest FAT32 volume: room for a first small disk, and little to wait for when flashed.
pub const DEFAULT_DATA_BYTES: u64 = fat::SMALLEST_BYTES;

impl Default for Spec {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            data_bytes: DEFAULT_DATA_BYTES,
        }
    }
}

impl Spec {
    /// An image with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An image with the boot loader and the hypervisor, and no configuration.
    pub fn bootable(loader: &Path, hypervisor: &Path) -> Self {
        Self::new()
            .file(LOADER, loader)
            .file(HYPERVISOR, hypervisor)
    }

    /// Adds a file from this machine.
    #[must_use]
    pub fn file(mut self, path: &str, from: &Path) -> Self {
        self.files.push(Entry {
            path: path.to_owned(),
            source: Source::File(from.to_owned()),
        });
        self
    }

    /// Adds a file with this content.
    #[must_use]
    pub fn bytes(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push(Entry {
            path: path.to_owned(),
            source: Source::Bytes(content.into()),
        });
        self
    }

    /// Adds `caisson.toml`.
    #[must_use]
    pub fn config(self, text: &str) -> Self {
        self.bytes(CONFIG, text)
    }

    /// Adds a guest's files below `guests/`.
    #[must_use]
    pub fn guest(self, guest: &crate::guest::Guest) -> Self {
        guest
            .files()
            .iter()
            .fold(self, |spec, (path, from)| spec.file(path, from))
    }
}

/// Builds the image at `out`, replacing what was there.
///
/// # Errors
/// A source cannot be read, two entries have one path, or `out` cannot be written.
pub fn build(spec: &Spec, out: &Path) -> Result<()> {
    let esp = fat::volume(&spec.files, "CAISSON", 0).context("making the boot volume")?;
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent)?;
    }
    gpt_disk::write(out, &esp, spec.data_bytes)
        .with_context(|| format!("writing {}", out.display()))
}

/// What `cargo xtask image` and `run` put together.
#[derive(Clone, Debug, Default)]
pub struct ImageSpec {
    /// Guest to put on it, by recipe.
    pub guest: String,
    /// Configuration to use instead of the one made from the recipe. Every guest it names is put on the image.
    pub config: Option<PathBuf>,
    /// More files: path on the boot volume, file of this machine.
    pub files: Vec<(String, PathBuf)>,
    /// Where to write it; `target/caisson.img` by default.
    pub out: Option<PathBuf>,
    /// How to build.
    pub profile: crate::build::Profile,
}

/// Builds the hypervisor and the loader, fetches the guest, makes the image; returns its path.
///
/// # Errors
/// Any of these fails.
pub fn assemble(order: &ImageSpec) -> Result<PathBuf> {
    // What was asked for is looked at before anything is built: a build takes minutes.
    for (_, from) in &order.files {
        ensure!(from.is_file(), "there is no file {}", from.display());
    }
    let (config, guests) = match &order.config {
        None => {
            let guest = crate::guest::fetch(&order.guest)?;
            (guest.config(), vec![guest])
        }
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))?;
            let guests = crate::guest::named_in(&text)?;
            (text, guests)
        }
    };
    let hypervisor = crate::build::caisson(order.profile)?;
    let loader = crate::build::loader(order.profile)?;
    let out = match &order.out {
        Some(out) => out.clone(),
        None => crate::paths::target("caisson.img")?,
    };
    let step = Step::start("making the image");
    let mut spec = Spec::bootable(&loader, &hypervisor).config(&config);
    for guest in &guests {
        spec = spec.guest(guest);
    }
    for (path, from) in &order.files {
        spec = spec.file(path, from);
    }
    build(&spec, &out)?;
    let len_mib = std::fs::metadata(&out)?.len() >> 20;
    step.done(&format!("{}, {len_mib} MiB", crate::paths::shown(&out)));
    Ok(out)
}
