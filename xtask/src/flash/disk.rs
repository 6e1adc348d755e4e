//! What the system says about its disks, read from sysfs and procfs. (Linux, sysfs block ABI; proc(5))

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where to look; another root in tests.
pub(super) struct System {
    block: PathBuf,
    mountinfo: PathBuf,
    swaps: PathBuf,
}

/// A whole disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// Kernel name, `sdb`.
    pub(super) name: String,
    /// Vendor and model.
    pub(super) model: String,
    pub(super) size_bytes: u64,
    /// Kernel names of its partitions.
    pub(super) partitions: Vec<String>,
    is_removable: bool,
    is_readonly: bool,
    holders: Vec<String>,
    /// Name of the disk or partition, mount point.
    mounts: Vec<(String, String)>,
    swaps: Vec<String>,
}

/// Devices that are no disks one would flash.
const NOT_DISKS: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "sr"];
/// A file system mounted here makes its disk part of the system.
const SYSTEM_MOUNTS: [&str; 6] = ["/", "/boot", "/boot/efi", "/usr", "/var", "/home"];

impl System {
    /// This machine.
    pub(super) fn real() -> Self {
        Self {
            block: "/sys/block".into(),
            mountinfo: "/proc/self/mountinfo".into(),
            swaps: "/proc/swaps".into(),
        }
    }

    /// All disks with a medium, by name.
    pub(super) fn disks(&self) -> Result<Vec<Disk>> {
        let mut disks = Vec::new();
        let entries = match std::fs::read_dir(&self.block) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(disks),
            Err(error) => return Err(error).context("reading the list of block devices"),
        };
        let mountinfo = std::fs::read_to_string(&self.mountinfo).unwrap_or_default();
        let swaps = std::fs::read_to_string(&self.swaps).unwrap_or_default();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)) {
                let disk = self.disk(&name, &mountinfo, &swaps);
                if disk.size_bytes > 0 {
                    disks.push(disk);
                }
            }
        }
        disks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(disks)
    }

    fn disk(&self, name: &str, mountinfo: &str, swaps: &str) -> Disk {
        let folder = self.block.join(name);
        let partitions = names_in(&folder)
            .into_iter()
            .filter(|child| folder.join(child).join("partition").is_file());
        let partitions: Vec<String> = partitions.collect();
        let mut parts = vec![(name.to_owned(), folder.clone())];
        parts.extend(
            partitions
                .iter()
                .map(|part| (part.clone(), folder.join(part))),
        );
        let mut disk = Disk {
            name: name.to_owned(),
            model: model(&folder),
            // The unit is 512 bytes whatever the disk's own sector is.
            size_bytes: read(&folder.join("size"))
                .parse::<u64>()
                .unwrap_or(0)
                .saturating_mul(512),
            partitions,
            is_removable: read(&folder.join("removable")) == "1",
            is_readonly: read(&folder.join("ro")) == "1",
            holders: Vec::new(),
            mounts: Vec::new(),
            swaps: Vec::new(),
        };
        for (part, folder) in parts {
            disk.holders.extend(names_in(&folder.join("holders")));
            let number = read(&folder.join("dev"));
            disk.mounts.extend(
                mounts_of(mountinfo, &number, &part)
                    .into_iter()
                    .map(|at| (part.clone(), at)),
            );
            if swaps
                .lines()
                .any(|line| line.split_whitespace().next() == Some(&format!("/dev/{part}")))
            {
                disk.swaps.push(part);
            }
        }
        disk
    }
}

impl Disk {
    /// What speaks against overwriting it; empty if nothing does.
    pub(super) fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        if self
            .mounts
            .iter()
            .any(|(_, at)| SYSTEM_MOUNTS.contains(&at.as_str()))
        {
            objections.push("it holds this system".to_owned());
        }
        objections.extend(
            self.mounts
                .iter()
                .map(|(part, at)| format!("{part} is mounted at {at}")),
        );
        objections.extend(
            self.swaps
                .iter()
                .map(|part| format!("{part} is used for swap")),
        );
        objections.extend(
            self.holders
                .iter()
                .map(|holder| format!("it is in use by {holder}")),
        );
        if !self.is_removable {
            objections.push("it is not removable".to_owned());
        }
        if self.is_readonly {
            objections.push("it is write-protected".to_owned());
        }
        objections
    }

    /// Its size as people say it.
    pub(super) fn size_shown(&self) -> String {
        let tenths = self.size_bytes / 100_000_000;
        format!("{}.{} GB", tenths / 10, tenths % 10)
    }
}

fn model(folder: &Path) -> String {
    let words = [
        read(&folder.join("device/vendor")),
        read(&folder.join("device/model")),
    ];
    let words = words
        .join(" ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if words.is_empty() {
        "unnamed".to_owned()
    } else {
        words
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Mount points of a device, by its number or, where the file system hides that (btrfs), by its name.
fn mounts_of(mountinfo: &str, number: &str, name: &str) -> Vec<String> {
    let device = format!("/dev/{name}");
    let mut mounts: Vec<String> = Vec::new();
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(of), Some(at)) = (fields.get(2), fields.get(4)) else {
            continue;
        };
        let source = fields
            .iter()
            .position(|field| *field == "-")
            .and_then(|dash| fields.get(dash + 2));
        if (*of == number || source == Some(&device.as_str()))
            && !mounts.iter().any(|other| other == at)
        {
            mounts.push(at.replace("\\040", " "));
        }
    }
    mounts
}

/// A made-up machine for tests.
#[cfg(test)]
pub(super) mod fake {
    use std::cell::{Cell, RefCell};

    use super::*;

    pub(crate) struct Tree {
        dir: tempfile::TempDir,
        numbers: Cell<u32>,
        mountinfo: RefCell<String>,
    }

    impl Tree {
        pub(crate) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("block")).unwrap();
            Self {
                dir,
                numbers: Cell::new(0),
                mountinfo: RefCell::new(String::new()),
            }
        }

        pub(crate) fn system(&self) -> System {
            std::fs::write(self.dir.path().join("mountinfo"), &*self.mountinfo.borrow()).unwrap();
            System {
                block: self.dir.path().join("block"),
                mountinfo: self.dir.path().join("mountinfo"),
                swaps: self.dir.path().join("swaps"),
            }
        }

        pub(crate) fn disk(&self, name: &str, is_removable: bool, partitions: &[&str]) {
            let folder = self.dir.path().join("block").join(name);
            self.put(&folder, "size", "62333952");
            self.put(&folder, "removable", if is_removable { "1" } else { "0" });
            self.put(&folder, "ro", "0");
            self.number(&folder);
            for (index, part) in partitions.iter().enumerate() {
                self.put(&folder.join(part), "partition", &(index + 1).to_string());
                self.number(&folder.join(part));
            }
        }

        pub(crate) fn mount(&self, part: &str, at: &str) {
            let disk = part.trim_end_matches(|c: char| c.is_ascii_digit());
            let number = read(
                &self
                    .dir
                    .path()
                    .join("block")
                    .join(disk)
                    .join(part)
                    .join("dev"),
            );
            *self.mountinfo.borrow_mut() +=
                &format!("30 1 {number} / {at} rw shared:1 - ext4 /dev/x rw\n");
        }

        pub(crate) fn holder(&self, disk: &str, part: &str, holder: &str) {
            let folder = self
                .dir
                .path()
                .join("block")
                .join(disk)
                .join(part)
                .join("holders")
                .join(holder);
            std::fs::create_dir_all(folder).unwrap();
        }

        pub(crate) fn swap(&self, part: &str) {
            let text = format!("Filename Type Size\n/dev/{part} partition 1000\n");
            std::fs::write(self.dir.path().join("swaps"), text).unwrap();
        }

        fn number(&self, folder: &Path) {
            self.numbers.set(self.numbers.get() + 1);
            self.put(folder, "dev", &format!("8:{}\n", self.numbers.get()));
        }

        fn put(&self, folder: &Path, name: &str, text: &str) {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
}
