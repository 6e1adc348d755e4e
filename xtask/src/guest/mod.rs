//! Guests to boot: fetched by recipe from Debian's packages, kept below `target/guests/`, checked.

pub mod cpio;
mod deb;
mod recipe;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::ui::{Step, say};
use recipe::Recipe;

pub use recipe::Vm;

/// The guest that `run` boots when none is named.
pub const DEFAULT: &str = "debian-cloud";

/// A guest whose files are there.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its recipe's name.
    pub name: String,
    /// Kernel, byte for byte as packaged.
    pub kernel: PathBuf,
    /// Initramfs, made here.
    pub initrd: PathBuf,
    /// The VM its recipe asks for.
    pub vm: Vm,
}

impl Guest {
    /// The kernel's path on the boot volume.
    pub fn kernel_on_volume(&self) -> String {
        format!("guests/{}/vmlinuz", self.name)
    }

    /// The initramfs' path on the boot volume.
    pub fn initrd_on_volume(&self) -> String {
        format!("guests/{}/initrd.img", self.name)
    }

    /// The `[[vm]]` part of a configuration for it.
    pub fn vm_section(&self) -> String {
        format!(
            "[[vm]]\nname = \"{}\"\ncpus = {}\nmemory = \"{}\"\nkernel = \"{}\"\ninitrd = \"{}\"\ncmdline = \"{}\"\n",
            self.name,
            self.vm.cpus,
            self.vm.memory,
            self.kernel_on_volume(),
            self.initrd_on_volume(),
            self.vm.cmdline,
        )
    }

    /// A whole `caisson.toml` that boots this guest and nothing else.
    pub fn config(&self) -> String {
        format!(
            "# Made by `cargo xtask image` for the guest {}.\n\n[host]\nlog = \"info\"\nconsole = [\"serial\", \
             \"screen\"]\n\n{}",
            self.name,
            self.vm_section()
        )
    }
}

/// What was fetched, written beside the files.
#[derive(Debug, Deserialize)]
struct Manifest {
    recipe_sha256: String,
    kernel_sha256: String,
    initrd_sha256: String,
    packages: Vec<String>,
}

/// Prints every recipe and whether its files are there.
///
/// # Errors
/// A recipe is broken.
pub fn list() -> Result<()> {
    for name in recipe::names()? {
        let recipe = Recipe::read(&name)?;
        let state = match cached(&recipe)? {
            Some((_, manifest)) => format!("here ({})", manifest.packages.join(", ")),
            None => "not fetched yet".to_owned(),
        };
        println!("{name:<14} {}; {state}", recipe.summary());
    }
    Ok(())
}

/// Makes sure a guest's files are there, fetching what is missing.
///
/// # Errors
/// No such recipe, no apt, no network, or a package that is not what apt's metadata says.
pub fn fetch(name: &str) -> Result<Guest> {
    let recipe = Recipe::read(name)?;
    let folder = folder(name)?;
    // Two commands at once would fetch into the same folder.
    let lock = File::create(folder.join(".lock"))?;
    lock.lock().context("waiting for another fetch")?;
    if let Some((guest, _)) = cached(&recipe)? {
        return Ok(guest);
    }
    make(&recipe, &folder).with_context(|| format!("fetching the guest `{name}`"))?;
    cached(&recipe)?
        .map(|(guest, _)| guest)
        .with_context(|| format!("the files of guest `{name}` do not match"))
}

/// Fetches every guest whose files a configuration names (`guests/NAME/…`).
///
/// # Errors
/// As [`fetch`].
pub fn named_in(config: &str) -> Result<Vec<Guest>> {
    recipe::names()?
        .iter()
        .filter(|name| config.contains(&format!("guests/{name}/")))
        .map(|name| fetch(name))
        .collect()
}

fn folder(name: &str) -> Result<PathBuf> {
    crate::paths::target_dir(&format!("guests/{name}"))
}

/// The guest if its files are there, are what was fetched, and the recipe is still the same.
fn cached(recipe: &Recipe) -> Result<Option<(Guest, Manifest)>> {
    let folder = folder(&recipe.name)?;
    let Ok(text) = std::fs::read_to_string(folder.join("manifest.toml")) else {
        return Ok(None);
    };
    let Ok(manifest) = toml::from_str::<Manifest>(&text) else {
        return Ok(None);
    };
    let guest = Guest {
        name: recipe.name.clone(),
        kernel: folder.join("vmlinuz"),
        initrd: folder.join("initrd.img"),
        vm: recipe.vm().clone(),
    };
    let is_same = manifest.recipe_sha256 == recipe.fingerprint()?
        && sha256_of(&guest.kernel).is_ok_and(|sum| sum == manifest.kernel_sha256)
        && sha256_of(&guest.initrd).is_ok_and(|sum| sum == manifest.initrd_sha256);
    Ok(is_same.then_some((guest, manifest)))
}

fn make(recipe: &Recipe, folder: &Path) -> Result<()> {
    if crate::command::find("apt-get").is_none() || crate::command::find("dpkg-deb").is_none() {
        bail!("guests come from Debian packages, and this machine has no apt-get and dpkg-deb");
    }
    let kernel_package = deb::fetch_depended(recipe.kernel())?;
    let busybox_package = deb::fetch(recipe.busybox())?;
    let step = Step::start(format!("unpacking guest {}", recipe.name));
    let kernel = kernel_package.file(&recipe.kernel().file)?;
    let busybox = busybox_package.file(&recipe.busybox().file)?;
    let initrd = cpio::initramfs(&busybox, &recipe.overlay_folder())?;
    write_all_or_nothing(&folder.join("vmlinuz"), &kernel)?;
    write_all_or_nothing(&folder.join("initrd.img"), &initrd)?;
    let manifest = format!(
        "recipe_sha256 = \"{}\"\nkernel_sha256 = \"{}\"\ninitrd_sha256 = \"{}\"\npackages = [\"{}\", \"{}\"]\n",
        recipe.fingerprint()?,
        deb::sha256(&kernel),
        deb::sha256(&initrd),
        kernel_package.id(),
        busybox_package.id(),
    );
    write_all_or_nothing(&folder.join("manifest.toml"), manifest.as_bytes())?;
    step.done(&format!(
        "{}, kernel {} KiB, initramfs {} KiB",
        kernel_package.id(),
        kernel.len() >> 10,
        initrd.len() >> 10
    ));
    Ok(())
}

/// Fetches and says where the files are: `cargo xtask guest fetch`.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_and_say(name: &str) -> Result<()> {
    let guest = fetch(name)?;
    say(format!(
        "{name}: {} and {}",
        crate::paths::shown(&guest.kernel),
        crate::paths::shown(&guest.initrd)
    ));
    Ok(())
}

fn sha256_of(path: &Path) -> Result<String> {
    Ok(deb::sha256(&std::fs::read(path)?))
}

fn write_all_or_nothing(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))
}
