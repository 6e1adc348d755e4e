//! A FAT volume in memory, as large as its content asks for.

use std::io::{Cursor, Write};

use anyhow::{Context, Result, bail};
use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::{Entry, Source};

/// The smallest FAT32 volume that every firmware takes for one: 65,525 clusters of one sector, and some.
const SMALLEST_BYTES: u64 = 36 << 20;
/// Above this, clusters of one sector make a needlessly long table.
const SMALL_CLUSTERS_UP_TO: u64 = 256 << 20;

type Volume<'a> = Cursor<&'a mut [u8]>;

/// Makes a FAT32 volume that holds `entries`.
pub(super) fn volume(entries: &[Entry], label: &[u8; 11]) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    for entry in entries {
        if contents
            .iter()
            .any(|(path, _): &(&str, _)| path.eq_ignore_ascii_case(&entry.path))
        {
            bail!("two files for {}", entry.path);
        }
        let bytes = match &entry.source {
            Source::Bytes(bytes) => bytes.clone(),
            Source::File(path) => {
                std::fs::read(path).with_context(|| format!("reading {}", path.display()))?
            }
        };
        contents.push((entry.path.as_str(), bytes));
    }
    let content_bytes: u64 = contents
        .iter()
        .map(|(_, bytes)| bytes.len() as u64 + 8192)
        .sum();
    let wanted = (content_bytes + content_bytes / 16 + (4 << 20))
        .max(SMALLEST_BYTES)
        .next_multiple_of(1 << 20);
    let mut memory = vec![0; usize::try_from(wanted)?];
    format(&mut memory, FatType::Fat32, label)?;
    {
        let volume: FileSystem<Volume<'_>> =
            FileSystem::new(Cursor::new(&mut memory[..]), FsOptions::new())?;
        for (path, bytes) in &contents {
            put(&volume.root_dir(), path, bytes).with_context(|| format!("writing {path}"))?;
        }
        volume.unmount()?;
    }
    Ok(memory)
}

/// Makes an empty volume of this size, FAT16 or FAT32 as fits.
pub(super) fn empty(bytes: u64, label: &[u8; 11]) -> Result<Vec<u8>> {
    let mut memory = vec![0; usize::try_from(bytes)?];
    let kind = if bytes >= SMALLEST_BYTES {
        FatType::Fat32
    } else {
        FatType::Fat16
    };
    format(&mut memory, kind, label)?;
    Ok(memory)
}

fn format(memory: &mut [u8], kind: FatType, label: &[u8; 11]) -> Result<()> {
    let sectors = u32::try_from(memory.len() / 512)?;
    let cluster = match kind {
        FatType::Fat32 if (memory.len() as u64) < SMALL_CLUSTERS_UP_TO => 512,
        FatType::Fat32 => 4096,
        FatType::Fat12 | FatType::Fat16 => 2048,
    };
    // The volume id is fixed so that the same content makes the same image.
    let options = FormatVolumeOptions::new()
        .fat_type(kind)
        .bytes_per_cluster(cluster)
        .total_sectors(sectors)
        .volume_id(0xca15_5011)
        .volume_label(*label);
    fatfs::format_volume(Cursor::new(memory), options).context("formatting")
}

fn put(root: &Dir<'_, Volume<'_>>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut dir = root.clone();
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            dir = dir.create_dir(part)?;
            continue;
        }
        let mut file = dir.create_file(part)?;
        file.truncate()?;
        file.write_all(bytes)?;
        file.flush()?;
        return Ok(());
    }
    bail!("a path without a name")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn entry(path: &str, content: &[u8]) -> Entry {
        Entry {
            path: path.to_owned(),
            source: Source::Bytes(content.to_vec()),
        }
    }

    #[test]
    fn a_file_reads_back_from_its_folder() {
        let mut memory = volume(
            &[entry("EFI/BOOT/BOOTX64.EFI", &[7; 100_000])],
            b"TEST       ",
        )
        .unwrap();
        let volume: FileSystem<Volume<'_>> =
            FileSystem::new(Cursor::new(&mut memory[..]), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), FatType::Fat32);
        let mut back = Vec::new();
        volume
            .root_dir()
            .open_file("EFI/BOOT/BOOTX64.EFI")
            .unwrap()
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(back, vec![7; 100_000]);
    }

    #[test]
    fn two_files_of_one_path_are_refused() {
        let error = volume(&[entry("a/b", b"1"), entry("A/B", b"2")], b"TEST       ").unwrap_err();
        assert!(error.to_string().contains("two files"));
    }
}
