//! A FAT32 volume in memory, as large as its files need.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use hadris_fat::format::{FatFormatOptions, FatTypeSelection, FatVolumeFormatter};
use hadris_fat::time::EpochTimeProvider;
use hadris_fat::{FatVolume, FatVolumeWriteExt};

use super::{Entry, Source};

/// A volume being filled.
type Volume<'a> = FatVolume<Cursor<&'a mut [u8]>>;

/// The smallest volume made here: a smaller one has too few clusters, and is taken for FAT16.
pub(super) const SMALLEST_BYTES: u64 = 36 << 20;
/// The volume's serial number: fixed, so that it does not change with each build.
const SERIAL: u32 = 0xca15_5011;

/// Makes a volume that holds `entries`, at least `bytes` long and as much longer as they need.
pub(super) fn volume(entries: &[Entry], label: &str, bytes: u64) -> Result<Vec<u8>> {
    let mut files = Vec::new();
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
        files.push((&entry.path, content));
    }
    // The tables take 1.6 % with the smallest clusters; the rest is room to change a configuration on the stick.
    let wanted = content_bytes + content_bytes / 32 + (4 << 20);
    let len = wanted
        .max(SMALLEST_BYTES)
        .max(bytes)
        .next_multiple_of(1 << 20);
    let mut image = vec![0; usize::try_from(len)?];
    let options = FatFormatOptions::new(len)
        .fat_type(FatTypeSelection::Fat32)
        .volume_id(SERIAL)
        .volume_label(label);
    FatVolumeFormatter::format(Cursor::new(&mut image[..]), options)?;
    // Opened anew for the clock: all files get the same date, whenever they are put there.
    let volume = FatVolume::builder(Cursor::new(&mut image[..]))
        .time_provider(&EpochTimeProvider)
        .open()?;
    for (path, content) in files {
        put(&volume, path, &content).with_context(|| format!("putting {path} on it"))?;
    }
    volume.sync()?;
    drop(volume);
    Ok(image)
}

/// Puts a file on the volume, and the folders it is in.
fn put(volume: &Volume<'_>, path: &str, content: &[u8]) -> Result<()> {
    // The crate would write such a file and cut its size.
    ensure!(u32::try_from(content.len()).is_ok(), "it has 4 GiB or more");
    let mut folder = volume.root_dir();
    let mut names = path.split('/').filter(|name| !name.is_empty());
    let file = names.next_back().context("it has no name")?;
    for name in names {
        folder = match folder.find(name)? {
            Some(known) => volume.open_dir_entry(&known)?,
            None => volume.create_dir(&folder, name)?,
        };
    }
    let entry = volume.create_file(&folder, file)?;
    let mut writer = volume.write_file(&entry)?;
    writer.write(content)?;
    writer.finish()?;
    Ok(())
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
        let bytes = volume(entries, "TEST", 0).unwrap();
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
        let error = volume(&[entry("a/b", b"1"), entry("A/B", b"2")], "TEST", 0).unwrap_err();
        assert_eq!(
            error
                .downcast_ref::<hadris_fat::Error>()
                .map(ToString::to_string),
            Some(hadris_fat::Error::AlreadyExists.to_string())
        );
    }
}
