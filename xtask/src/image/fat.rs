//! A FAT32 volume made in one go from files that are all known: no gaps, no fragments, the same bytes each time.
//!
//! Follows Microsoft's FAT specification of 2000-12-06 (fatgen103); sections are cited by name.

use anyhow::{Context, Result, bail};

use super::fat_names::{self, ENTRY_BYTES};
use super::{Entry, Source};

const SECTOR: usize = 512;
const RESERVED_SECTORS: u32 = 32;
const FATS: u32 = 2;
/// The root directory's cluster: the first there is.
const ROOT: u32 = 2;
/// Ends a chain of clusters.
const END: u32 = 0x0fff_ffff;
/// A volume with fewer clusters is taken for FAT16. ("FAT type determination"; some more, as advised there)
const FEWEST_CLUSTERS: u32 = 65_525 + 16;
/// Above this, clusters of one sector make a needlessly long table.
const SMALL_CLUSTERS_UP_TO: u64 = 256 << 20;
/// The smallest volume made here: enough clusters of one sector each.
pub(super) const SMALLEST_BYTES: u64 = 36 << 20;

const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_ARCHIVE: u8 = 0x20;

/// Makes a volume that holds `entries`, at least `bytes` long and as much longer as they need.
pub(super) fn volume(entries: &[Entry], label: &[u8; 11], bytes: u64) -> Result<Vec<u8>> {
    let mut root = Folder::default();
    let mut content_bytes = 0;
    for entry in entries {
        let content = match &entry.source {
            Source::Bytes(bytes) => bytes.clone(),
            Source::File(path) => {
                std::fs::read(path).with_context(|| format!("reading {}", path.display()))?
            }
        };
        // 16 KiB for its folders and the last cluster.
        content_bytes += content.len() as u64 + (16 << 10);
        root.put(&entry.path, content)?;
    }
    // The tables take 1.6 % with the smallest clusters; the rest is room to change a configuration on the stick.
    let wanted = content_bytes + content_bytes / 32 + (4 << 20);
    let len = wanted
        .max(SMALLEST_BYTES)
        .max(bytes)
        .next_multiple_of(1 << 20);
    let mut writer = Writer::new(len)?;
    writer.boot_sectors(label);
    let table = root.table(Some(label))?;
    writer.folder(&root, table, None)?;
    writer.tables();
    Ok(writer.bytes)
}

enum Node {
    Folder(Folder),
    File(Vec<u8>),
}

#[derive(Default)]
struct Folder {
    children: Vec<(String, Node)>,
}

impl Folder {
    fn put(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        let (first, rest) = path
            .trim_start_matches('/')
            .split_once('/')
            .map_or((path, None), |(a, b)| (a, Some(b)));
        let known = self
            .children
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(first));
        match (known, rest) {
            (Some((_, Node::Folder(folder))), Some(rest)) => folder.put(rest, content),
            (Some(_), _) => bail!("two files for {path}"),
            (None, Some(rest)) => {
                let mut folder = Self::default();
                folder.put(rest, content)?;
                self.children.push((first.to_owned(), Node::Folder(folder)));
                Ok(())
            }
            (None, None) => {
                self.children.push((first.to_owned(), Node::File(content)));
                Ok(())
            }
        }
    }

    /// The directory's entries, with clusters and sizes still 0; and where each child's own entry is.
    fn table(&self, label: Option<&[u8; 11]>) -> Result<Table> {
        let mut bytes = Vec::new();
        match label {
            Some(label) => bytes.extend(short_entry(label, ATTR_VOLUME_ID)),
            None => {
                bytes.extend(short_entry(b".          ", ATTR_DIRECTORY));
                bytes.extend(short_entry(b"..         ", ATTR_DIRECTORY));
            }
        }
        let mut shorts: Vec<[u8; 11]> = Vec::new();
        let mut places = Vec::new();
        for (name, node) in &self.children {
            let short =
                fat_names::short(name, &shorts).with_context(|| format!("the name {name}"))?;
            bytes.extend(fat_names::long_entries(name, &short));
            places.push(bytes.len());
            let attribute = if matches!(node, Node::Folder(_)) {
                ATTR_DIRECTORY
            } else {
                ATTR_ARCHIVE
            };
            bytes.extend(short_entry(&short, attribute));
            shorts.push(short);
        }
        Ok(Table { bytes, places })
    }
}

struct Table {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

/// An entry with this name, dated 1980-01-01, the earliest there is. ("FAT directory structure")
fn short_entry(name: &[u8; 11], attribute: u8) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..11].copy_from_slice(name);
    entry[11] = attribute;
    for date_at in [16, 18, 24] {
        entry[date_at..date_at + 2].copy_from_slice(&0x0021_u16.to_le_bytes());
    }
    entry
}

/// Fills in an entry's first cluster and size.
fn point(entry: &mut [u8], cluster: u32, size: u32) {
    let cluster = cluster.to_le_bytes();
    entry[20..22].copy_from_slice(&cluster[2..]);
    entry[26..28].copy_from_slice(&cluster[..2]);
    entry[28..32].copy_from_slice(&size.to_le_bytes());
}

struct Writer {
    bytes: Vec<u8>,
    sectors: u32,
    sectors_per_cluster: u32,
    sectors_per_fat: u32,
    clusters: u32,
    /// The allocation table so far; its length is the next free cluster.
    fat: Vec<u32>,
}

impl Writer {
    fn new(len: u64) -> Result<Self> {
        let sectors = u32::try_from(len / SECTOR as u64).context("a volume of 2 TiB or more")?;
        let sectors_per_cluster = if len < SMALL_CLUSTERS_UP_TO { 1 } else { 8 };
        // Each cluster needs four bytes in both tables; the first two entries are reserved. A little too much is harmless.
        let at_most = (sectors - RESERVED_SECTORS) / sectors_per_cluster;
        let sectors_per_fat = ((at_most + 2) * 4).div_ceil(SECTOR as u32);
        let clusters = (sectors - RESERVED_SECTORS - FATS * sectors_per_fat) / sectors_per_cluster;
        if clusters < FEWEST_CLUSTERS {
            bail!("{len} bytes are too few for FAT32");
        }
        let bytes = vec![0; usize::try_from(len)?];
        let fat = vec![0x0fff_fff8, END];
        Ok(Self {
            bytes,
            sectors,
            sectors_per_cluster,
            sectors_per_fat,
            clusters,
            fat,
        })
    }

    fn cluster_bytes(&self) -> usize {
        self.sectors_per_cluster as usize * SECTOR
    }

    /// Takes the next clusters for `len` bytes; returns the first. Nothing needs none, and gets 0.
    fn take(&mut self, len: usize) -> Result<u32> {
        let count = u32::try_from(len.div_ceil(self.cluster_bytes()))?;
        let first = u32::try_from(self.fat.len())?;
        if count > self.clusters + 2 - first {
            bail!("the volume is full");
        }
        self.fat.extend((1..count).map(|step| first + step));
        if count > 0 {
            self.fat.push(END);
        }
        Ok(if count > 0 { first } else { 0 })
    }

    fn put(&mut self, cluster: u32, content: &[u8]) {
        let data_sector = (RESERVED_SECTORS + FATS * self.sectors_per_fat) as usize;
        let at = data_sector * SECTOR + (cluster as usize - 2) * self.cluster_bytes();
        self.bytes[at..at + content.len()].copy_from_slice(content);
    }

    /// Writes a folder and all below it; returns its cluster. `parent` is `None` for the root.
    fn folder(&mut self, folder: &Folder, mut table: Table, parent: Option<u32>) -> Result<u32> {
        let own = self.take(table.bytes.len().max(1))?;
        if let Some(parent) = parent {
            point(&mut table.bytes[..ENTRY_BYTES], own, 0);
            // The root is written as 0 here. ("FAT directory structure", dot entries)
            let parent = if parent == ROOT { 0 } else { parent };
            point(&mut table.bytes[ENTRY_BYTES..2 * ENTRY_BYTES], parent, 0);
        }
        for ((name, node), place) in folder.children.iter().zip(&table.places) {
            let (cluster, size) = match node {
                Node::Folder(below) => (self.folder(below, below.table(None)?, Some(own))?, 0),
                Node::File(content) => {
                    let size = u32::try_from(content.len())
                        .with_context(|| format!("{name} has 4 GiB or more"))?;
                    let cluster = self.take(content.len())?;
                    if cluster != 0 {
                        self.put(cluster, content);
                    }
                    (cluster, size)
                }
            };
            point(&mut table.bytes[*place..place + ENTRY_BYTES], cluster, size);
        }
        self.put(own, &table.bytes);
        Ok(own)
    }

    /// The boot sector and its copy. ("Boot sector and BPB")
    fn boot_sectors(&mut self, label: &[u8; 11]) {
        let mut boot = [0; SECTOR];
        let mut set = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
        // A jump over the fields to an endless loop: BIOS machines cannot boot from here.
        set(0, &[0xeb, 0x58, 0x90]);
        set(3, b"CAISSON ");
        set(11, &(SECTOR as u16).to_le_bytes());
        set(13, &[self.sectors_per_cluster as u8]);
        set(14, &(RESERVED_SECTORS as u16).to_le_bytes());
        set(16, &[FATS as u8]);
        set(21, &[0xf8]);
        set(24, &63_u16.to_le_bytes());
        set(26, &255_u16.to_le_bytes());
        set(32, &self.sectors.to_le_bytes());
        set(36, &self.sectors_per_fat.to_le_bytes());
        set(44, &ROOT.to_le_bytes());
        set(48, &1_u16.to_le_bytes());
        set(50, &6_u16.to_le_bytes());
        set(64, &[0x80, 0, 0x29]);
        // A fixed serial number, so that the same content makes the same image.
        set(67, &0xca15_5011_u32.to_le_bytes());
        set(71, label);
        set(82, b"FAT32   ");
        set(90, &[0xeb, 0xfe]);
        set(510, &[0x55, 0xaa]);
        for sector in [0, 6] {
            self.bytes[sector * SECTOR..][..SECTOR].copy_from_slice(&boot);
        }
    }

    /// The allocation tables, and the sector that says how much is free. ("FAT32 FSInfo sector structure")
    fn tables(&mut self) {
        let table: Vec<u8> = self
            .fat
            .iter()
            .flat_map(|entry| entry.to_le_bytes())
            .collect();
        for copy in 0..FATS {
            let at = (RESERVED_SECTORS + copy * self.sectors_per_fat) as usize * SECTOR;
            self.bytes[at..at + table.len()].copy_from_slice(&table);
        }
        let next = self.fat.len() as u32;
        let free = self.clusters + 2 - next;
        let mut info = [0; SECTOR];
        for (at, value) in [
            (0, 0x4161_5252),
            (484, 0x6141_7272),
            (488, free),
            (492, next),
            (508, 0xaa55_0000),
        ] {
            info[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for sector in [1, 7] {
            self.bytes[sector * SECTOR..][..SECTOR].copy_from_slice(&info);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use fatfs::{FatType, FileSystem, FsOptions};

    use super::*;

    fn entry(path: &str, content: &[u8]) -> Entry {
        Entry {
            path: path.to_owned(),
            source: Source::Bytes(content.to_vec()),
        }
    }

    /// Reads the volume with somebody else's code.
    fn read(entries: &[Entry]) -> FileSystem<Cursor<Vec<u8>>> {
        let bytes = volume(entries, b"TEST       ", 0).unwrap();
        FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap()
    }

    fn content(volume: &FileSystem<Cursor<Vec<u8>>>, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        volume
            .root_dir()
            .open_file(path)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn files_read_back_from_their_folders() {
        let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let files = [
            entry("EFI/BOOT/BOOTX64.EFI", &large),
            entry("caisson.toml", b"[host]\n"),
            entry("guests/debian-cloud/vmlinuz", b"1"),
            entry("guests/debian-cloud/initrd.img", b""),
        ];
        let volume = read(&files);
        assert_eq!(volume.fat_type(), FatType::Fat32);
        assert_eq!(volume.volume_label(), "TEST");
        assert_eq!(content(&volume, "EFI/BOOT/BOOTX64.EFI"), large);
        assert_eq!(content(&volume, "caisson.toml"), b"[host]\n");
        assert_eq!(content(&volume, "guests/debian-cloud/initrd.img"), b"");
        let names: Vec<_> = volume
            .root_dir()
            .iter()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["EFI", "caisson.toml", "guests"]);
    }

    #[test]
    fn a_folder_may_need_many_clusters() {
        let files: Vec<Entry> = (0..300_u32)
            .map(|n| {
                entry(
                    &format!("many/a file with a long name {n}"),
                    &n.to_le_bytes(),
                )
            })
            .collect();
        let volume = read(&files);
        assert_eq!(
            content(&volume, "many/a file with a long name 299"),
            299_u32.to_le_bytes()
        );
    }

    #[test]
    fn free_clusters_are_counted() {
        let stats = read(&[entry("a", &[1; 5000])]).stats().unwrap();
        // The root directory and ten clusters of the file.
        assert_eq!(stats.total_clusters() - stats.free_clusters(), 11);
    }

    #[test]
    fn two_files_of_one_path_are_refused() {
        let error =
            volume(&[entry("a/b", b"1"), entry("A/B", b"2")], b"TEST       ", 0).unwrap_err();
        assert!(error.to_string().contains("two files"));
    }
}
