//! Guests to boot: fetched by recipe from Debian's packages, kept below `target/guests/`, checked.

pub mod cpio;
mod deb;
mod recipe;
mod unpack;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::ui::{Step, say};
use recipe::{FromPackage, Initramfs, Recipe};

pub use recipe::{MARKER, Vm};

/// The guest that `run` boots when none is named.
pub const DEFAULT: &str = "debian-cloud";

/// The kernel's file name, here and on the boot volume.
const KERNEL: &str = "vmlinuz";
/// The initial RAM disk's.
const INITRD: &str = "initrd.img";

/// A guest whose files are there.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its recipe's name.
    pub name: String,
    /// Kernel: byte for byte as packaged, or unpacked from it.
    pub kernel: PathBuf,
    /// Initial RAM disk, as packaged or made here.
    pub initrd: Option<PathBuf>,
    /// Further files for a Multiboot kernel, in their order.
    pub modules: Vec<ModuleFile>,
    /// The VM its recipe asks for.
    pub vm: Vm,
}

/// A module that is there.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    /// The file.
    pub file: PathBuf,
    /// Its path on the boot volume.
    pub on_volume: String,
    /// What the kernel is told about it.
    pub text: String,
}

impl Guest {
    /// The kernel's path on the boot volume.
    pub fn kernel_on_volume(&self) -> String {
        format!("guests/{}/{KERNEL}", self.name)
    }

    /// The initial RAM disk's path on the boot volume.
    pub fn initrd_on_volume(&self) -> String {
        format!("guests/{}/{INITRD}", self.name)
    }

    /// The initial RAM disk, of a guest that must have one.
    ///
    /// # Errors
    /// It has none.
    pub fn initramfs(&self) -> Result<&Path> {
        let initrd = self.initrd.as_deref();
        initrd.with_context(|| format!("the guest `{}` has no initrd", self.name))
    }

    /// Everything of it that goes on the boot volume: path there, file here.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let mut files = vec![(self.kernel_on_volume(), self.kernel.clone())];
        files.extend(
            self.initrd
                .iter()
                .map(|file| (self.initrd_on_volume(), file.clone())),
        );
        files.extend(
            self.modules
                .iter()
                .map(|module| (module.on_volume.clone(), module.file.clone())),
        );
        files
    }

    /// The `[[vm]]` part of a configuration for it.
    pub fn vm_section(&self) -> String {
        let mut section = format!(
            "[[vm]]\nname = \"{}\"\ncpus = {}\nmemory = \"{}\"\nkernel = \"{}\"\n",
            self.name,
            self.vm.cpus,
            self.vm.memory,
            self.kernel_on_volume(),
        );
        if self.initrd.is_some() {
            section += &format!("initrd = \"{}\"\n", self.initrd_on_volume());
        }
        if !self.modules.is_empty() {
            let modules: Vec<String> = self
                .modules
                .iter()
                .map(|module| format!("\"{} {}\"", module.on_volume, module.text))
                .collect();
            section += &format!("modules = [{}]\n", modules.join(", "));
        }
        section += &format!("cmdline = \"{}\"\n", self.vm.cmdline);
        for line in &self.vm.lines {
            section += line;
            section.push('\n');
        }
        section
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
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    recipe_sha256: String,
    packages: Vec<String>,
    /// SHA-256 of each file.
    files: BTreeMap<String, String>,
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
        println!("{name:<22} {}; {state}", recipe.summary());
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

/// Modules of a guest's kernel, by their paths in its sources, with `.ko`; from the very package that its kernel is from.
///
/// # Errors
/// As [`fetch`], or the package has no such module.
pub fn kernel_modules(name: &str, modules: &[&str]) -> Result<Vec<Vec<u8>>> {
    let recipe = Recipe::read(name)?;
    let folder = folder(name)?;
    let lock = File::create(folder.join(".lock"))?;
    lock.lock().context("waiting for another fetch")?;
    let mut packages = Packages::default();
    let content = packages.open(&recipe.kernel().package)?;
    // There may be a newer package than the one that the kernel here was taken from: a module fits one kernel only.
    let has_fitting = |manifest: &Manifest| manifest.packages.contains(&content.id());
    if !cached(&recipe)?.is_some_and(|(_, manifest)| has_fitting(&manifest)) {
        make(&recipe, &folder).with_context(|| format!("fetching the guest `{name}`"))?;
    }
    modules
        .iter()
        .map(|module| content.kernel_module(module))
        .collect()
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
    // Another recipe, another initramfs format or a file that somebody touched: made again.
    let is_same = manifest.recipe_sha256 == recipe.fingerprint()?
        && manifest
            .files
            .iter()
            .all(|(file, sum)| sha256_of(&folder.join(file)).is_ok_and(|found| found == *sum));
    if !is_same {
        return Ok(None);
    }
    let mut modules: Vec<ModuleFile> = recipe
        .modules()
        .iter()
        .map(|module| module_file(recipe, &folder, &module.name, &module.text))
        .collect();
    let mut initrd = manifest
        .files
        .contains_key(INITRD)
        .then(|| folder.join(INITRD));
    if !modules.is_empty() && initrd.take().is_some() {
        modules.push(module_file(recipe, &folder, INITRD, ""));
    }
    let guest = Guest {
        name: recipe.name.clone(),
        kernel: folder.join(KERNEL),
        initrd,
        modules,
        vm: recipe.vm().clone(),
    };
    Ok(Some((guest, manifest)))
}

fn module_file(recipe: &Recipe, folder: &Path, name: &str, text: &str) -> ModuleFile {
    ModuleFile {
        file: folder.join(name),
        on_volume: format!("guests/{}/{name}", recipe.name),
        text: text.to_owned(),
    }
}

fn make(recipe: &Recipe, folder: &Path) -> Result<()> {
    if crate::command::find("apt-get").is_none() || crate::command::find("dpkg-deb").is_none() {
        bail!("guests come from Debian packages, and this machine has no apt-get and dpkg-deb");
    }
    let mut packages = Packages::default();
    let mut files = vec![(KERNEL.to_owned(), packages.take(recipe.kernel())?)];
    for module in recipe.modules() {
        files.push((module.name.clone(), packages.take(&module.source())?));
    }
    if let Some(initrd) = recipe.initrd() {
        files.push((INITRD.to_owned(), packages.take(initrd)?));
    }
    if let Some(initramfs) = recipe.initramfs() {
        files.push((INITRD.to_owned(), make_initramfs(&mut packages, initramfs)?));
    }
    let mut manifest = Manifest {
        recipe_sha256: recipe.fingerprint()?,
        packages: packages.ids(),
        files: BTreeMap::new(),
    };
    for (name, bytes) in files {
        write_all_or_nothing(&folder.join(&name), &bytes)?;
        manifest.files.insert(name, deb::sha256(&bytes));
    }
    write_all_or_nothing(
        &folder.join("manifest.toml"),
        toml::to_string(&manifest)?.as_bytes(),
    )
}

fn make_initramfs(packages: &mut Packages, initramfs: &Initramfs) -> Result<Vec<u8>> {
    let content = packages.open(&initramfs.package)?;
    let programs = match &initramfs.archive {
        Some(archive) => cpio::extract(&content.file(archive)?, &initramfs.files)
            .with_context(|| format!("in {archive} of {}", content.id()))?,
        None => initramfs
            .files
            .iter()
            .map(|path| Ok(cpio::Entry::program(path, content.file(path)?)))
            .collect::<Result<_>>()?,
    };
    cpio::initramfs(&programs, &initramfs.overlay_folder())
}

/// The packages a recipe has opened; each is fetched and unpacked once.
#[derive(Default)]
struct Packages(BTreeMap<String, deb::Content>);

impl Packages {
    fn open(&mut self, name: &str) -> Result<&deb::Content> {
        if !self.0.contains_key(name) {
            let package = deb::fetch(name)?;
            let step = Step::start(format!("unpacking {}", package.id()));
            let content = package.open()?;
            step.done("");
            self.0.insert(name.to_owned(), content);
        }
        Ok(&self.0[name])
    }

    fn take(&mut self, wanted: &FromPackage) -> Result<Vec<u8>> {
        let content = self.open(&wanted.package)?;
        wanted
            .form
            .unpack(content.file(&wanted.file)?)
            .with_context(|| format!("{} of {}", wanted.file, content.id()))
    }

    fn ids(&self) -> Vec<String> {
        self.0.values().map(deb::Content::id).collect()
    }
}

/// Fetches and says where the files are: `cargo xtask guest fetch`.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_and_say(name: &str) -> Result<()> {
    let guest = fetch(name)?;
    let files: Vec<String> = guest
        .files()
        .iter()
        .map(|(_, file)| crate::paths::shown(file))
        .collect();
    say(format!("{name}: {}", files.join(", ")));
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
