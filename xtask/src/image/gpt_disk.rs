//! A GPT disk with the boot volume and, after it, the data partition; written sparse.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::{GptConfig, partition_types};

const SECTOR: u64 = 512;
/// Partitions begin on a full mebibyte, as every tool expects.
const ALIGN: u64 = 1 << 20;
/// Runs of zeros this long become holes in the file.
const CHUNK: usize = 64 << 10;

/// Writes the disk. The boot volume comes first: firmware tries the first ESP it finds.
pub(super) fn write(out: &Path, esp: &[u8], data_bytes: u64) -> Result<()> {
    let data = if data_bytes == 0 {
        Vec::new()
    } else {
        super::fat::volume(&[], "CAISSONDATA", data_bytes)?
    };
    let data_bytes = data.len() as u64;
    let esp_bytes = esp.len() as u64;
    let total = ALIGN + esp_bytes.next_multiple_of(ALIGN) + data_bytes + ALIGN;
    // A new file, not the old one rewritten: an emulator may still have the old one open.
    match std::fs::remove_file(out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(out)?;
    file.set_len(total)?;
    let sectors = u32::try_from(total / SECTOR - 1).context("an image of 2 TiB or more")?;
    ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut file)
        .context("the protective MBR")?;
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, None)
        .context("the partition table")?;
    let first = ALIGN / SECTOR;
    let esp_sectors = esp_bytes / SECTOR;
    disk.add_partition_at(
        "CAISSON-ESP",
        1,
        first,
        esp_sectors,
        partition_types::EFI,
        0,
    )?;
    let data_first = (ALIGN + esp_bytes.next_multiple_of(ALIGN)) / SECTOR;
    if data_bytes > 0 {
        let kind = partition_types::BASIC;
        disk.add_partition_at("CAISSON-DATA", 2, data_first, data_bytes / SECTOR, kind, 0)?;
    }
    let mut file = disk.write().context("the partition table")?;
    write_sparse(&mut file, first * SECTOR, esp)?;
    if data_bytes > 0 {
        write_sparse(&mut file, data_first * SECTOR, &data)?;
    }
    file.flush()?;
    Ok(())
}

/// Writes what is not zero; the file was zero before.
fn write_sparse(file: &mut File, at: u64, bytes: &[u8]) -> Result<()> {
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at + (index * CHUNK) as u64))?;
            file.write_all(chunk)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_both_partitions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        write(&path, &vec![1; 36 << 20], 16 << 20).unwrap();
        let disk = GptConfig::new().open(&path).unwrap();
        let names: Vec<_> = disk
            .partitions()
            .values()
            .map(|partition| partition.name.clone())
            .collect();
        assert_eq!(names, ["CAISSON-ESP", "CAISSON-DATA"]);
        assert!(
            disk.partitions()
                .values()
                .all(|partition| partition.first_lba % 2048 == 0)
        );
    }
}
