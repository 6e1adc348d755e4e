//! `cargo xtask flash`: the image onto a stick, and onto nothing else.

mod disk;
mod write;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use disk::{Disk, System};

/// Where to write.
#[derive(Clone, Debug)]
pub enum Target {
    /// A whole disk of this machine.
    Disk {
        /// Its device file.
        device: PathBuf,
        /// `--yes-really`: write even where [`list`] warns.
        is_forced: bool,
    },
    /// A regular file, for tests.
    File(PathBuf),
}

/// Prints the disks there are and what speaks against each.
///
/// # Errors
/// The system does not say what disks it has.
pub fn list() -> Result<()> {
    let disks = System::real().disks()?;
    if disks.is_empty() {
        println!("no disks here");
    }
    for disk in &disks {
        let verdict = match disk.objections().as_slice() {
            [] => "can be written".to_owned(),
            objections => format!("refused: {}", objections.join(", ")),
        };
        println!(
            "/dev/{:<10} {:>9}  {:<28} {verdict}",
            disk.name,
            disk.size_shown(),
            disk.model
        );
    }
    println!("\nName one to overwrite it: cargo xtask flash /dev/NAME");
    Ok(())
}

/// Refuses what should not be overwritten.
///
/// # Errors
/// The target is no disk, or is mounted, in use, part of the system, or not removable, and not forced.
pub fn consider(target: &Target) -> Result<()> {
    match target {
        Target::File(path) if path.is_file() => Ok(()),
        Target::File(path) => bail!("{} is no regular file", path.display()),
        Target::Disk { device, is_forced } => decide(&System::real(), device, *is_forced).map(drop),
    }
}

fn decide(system: &System, device: &Path, is_forced: bool) -> Result<Disk> {
    let disks = system.disks()?;
    let real = std::fs::canonicalize(device).unwrap_or_else(|_| device.to_owned());
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if real.parent() != Some(Path::new("/dev")) {
        bail!("{} is not a device file below /dev", device.display());
    }
    if let Some(whole) = disks.iter().find(|disk| disk.partitions.contains(&name)) {
        bail!(
            "{} is a partition; the image is a whole disk: /dev/{}",
            device.display(),
            whole.name
        );
    }
    let Some(disk) = disks.into_iter().find(|disk| disk.name == name) else {
        bail!(
            "{} is no disk of this machine; `cargo xtask flash` lists them",
            device.display()
        );
    };
    let objections = disk.objections();
    if !objections.is_empty() && !is_forced {
        bail!(
            "{} ({}, {}) is refused: {}. Everything on it would be lost; --yes-really writes anyway",
            device.display(),
            disk.model,
            disk.size_shown(),
            objections.join(", ")
        );
    }
    Ok(disk)
}

/// Writes the image and reads it back.
///
/// # Errors
/// The target is refused (see [`consider`]), too small, cannot be written, or reads back differently.
pub fn write(target: &Target, image: &Path) -> Result<()> {
    let image_bytes = std::fs::metadata(image)?.len();
    let path = match target {
        Target::File(path) => path,
        Target::Disk { device, is_forced } => {
            let disk = decide(&System::real(), device, *is_forced)?;
            if disk.size_bytes < image_bytes {
                bail!(
                    "{} holds {}, the image needs {} bytes",
                    device.display(),
                    disk.size_shown(),
                    image_bytes
                );
            }
            device
        }
    };
    write::copy_and_verify(image, path)?;
    println!(
        "{} is ready: boot a machine from it, with UEFI and Secure Boot off",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::disk::fake::Tree;
    use super::*;

    fn refusal(tree: &Tree, device: &str) -> String {
        decide(&tree.system(), Path::new(device), false)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_removable_idle_stick_is_accepted() {
        let tree = Tree::new();
        tree.disk("sdb", true, &["sdb1"]);
        assert_eq!(
            decide(&tree.system(), Path::new("/dev/sdb"), false)
                .unwrap()
                .name,
            "sdb"
        );
    }

    #[test]
    fn a_mounted_stick_is_refused_unless_forced() {
        let tree = Tree::new();
        tree.disk("sdb", true, &["sdb1"]);
        tree.mount("sdb1", "/media/stick");
        assert!(refusal(&tree, "/dev/sdb").contains("sdb1 is mounted at /media/stick"));
        assert!(decide(&tree.system(), Path::new("/dev/sdb"), true).is_ok());
    }

    #[test]
    fn the_system_disk_is_named_as_such() {
        let tree = Tree::new();
        tree.disk("sda", true, &["sda1", "sda2"]);
        tree.mount("sda2", "/");
        assert!(refusal(&tree, "/dev/sda").contains("it holds this system"));
    }

    #[test]
    fn a_fixed_disk_is_refused() {
        let tree = Tree::new();
        tree.disk("nvme0n1", false, &[]);
        assert!(refusal(&tree, "/dev/nvme0n1").contains("not removable"));
    }

    #[test]
    fn a_disk_below_a_volume_manager_is_refused() {
        let tree = Tree::new();
        tree.disk("sdb", true, &["sdb1"]);
        tree.holder("sdb", "sdb1", "dm-0");
        assert!(refusal(&tree, "/dev/sdb").contains("in use by dm-0"));
    }

    #[test]
    fn swap_counts_as_use() {
        let tree = Tree::new();
        tree.disk("sdb", true, &["sdb1"]);
        tree.swap("sdb1");
        assert!(refusal(&tree, "/dev/sdb").contains("swap"));
    }

    #[test]
    fn a_partition_is_not_a_disk() {
        let tree = Tree::new();
        tree.disk("sdb", true, &["sdb1"]);
        assert!(refusal(&tree, "/dev/sdb1").contains("is a partition"));
    }

    #[test]
    fn what_is_not_there_or_not_a_device_is_refused() {
        let tree = Tree::new();
        assert!(refusal(&tree, "/dev/sdz").contains("no disk of this machine"));
        assert!(refusal(&tree, "/srv/file").contains("not a device file"));
    }
}
