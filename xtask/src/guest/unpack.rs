//! Kernels out of what they are packed in.
//!
//! A bzImage carries the ELF file that the kernel was linked to, compressed; that file has the PVH entry. Where it lies is said in the setup
//! header. (Linux/x86 boot protocol 2.15: `setup_sects`, `payload_offset`, `payload_length`)

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// How a file is packed in its package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// It is taken as it is.
    #[default]
    #[serde(skip)]
    AsPackaged,
    /// Compressed by gzip.
    Gzip,
    /// The ELF file in a bzImage.
    Vmlinux,
}

impl Form {
    /// The file that a guest is started with.
    pub(super) fn unpack(self, file: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::AsPackaged => Ok(file),
            Self::Gzip => gunzip(&file),
            Self::Vmlinux => vmlinux(&file).context("unpacking the bzImage"),
        }
    }
}

/// Where `setup_sects` stands: the real-mode part is so many sectors long, and one more.
const SETUP_SECTS: usize = 0x1f1;
/// `HdrS`.
const HEADER_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
/// Offset of the payload from the end of the real-mode part.
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// More than any kernel; a wrong size must not take all memory.
const LARGEST: usize = 1 << 28;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
/// LZ4's "legacy" frame. (LZ4 frame format, legacy frame)
const LZ4: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The ELF file inside a bzImage.
fn vmlinux(image: &[u8]) -> Result<Vec<u8>> {
    let (at, magic) = HEADER_MAGIC;
    ensure!(
        image.get(at..).is_some_and(|rest| rest.starts_with(magic)),
        "it is no bzImage"
    );
    let sectors = *image.get(SETUP_SECTS).context("it is cut off")?;
    let start = (usize::from(sectors) + 1) * SECTOR + u32_at(image, PAYLOAD_OFFSET)?;
    let end = start + u32_at(image, PAYLOAD_LENGTH)?;
    let payload = image
        .get(start..end)
        .with_context(|| format!("the payload {start:#x} to {end:#x} lies outside the file"))?;
    // The build appends the size where the format does not end with it.
    let len = u32_at(payload, payload.len().saturating_sub(4))?;
    ensure!(len <= LARGEST, "its payload claims {len} bytes");
    let elf = decompress(payload, len)?;
    ensure!(elf.starts_with(b"\x7fELF"), "its payload is no ELF file");
    Ok(elf)
}

fn decompress(payload: &[u8], len: usize) -> Result<Vec<u8>> {
    let bytes = if payload.starts_with(GZIP) {
        gunzip(payload)?
    } else if payload.starts_with(XZ) {
        all_of(lzma_rust2::XzReader::new(payload, false))?
    } else if payload.starts_with(ZSTD) {
        all_of(ruzstd::decoding::StreamingDecoder::new(payload)?)?
    } else if let Some(blocks) = payload.strip_prefix(LZ4) {
        unlz4(blocks, len)?
    } else {
        bail!("its payload is compressed in a way unknown here");
    };
    ensure!(
        bytes.len() == len,
        "its payload is {} bytes and should be {len}",
        bytes.len()
    );
    Ok(bytes)
}

/// Decompresses a gzip file.
///
/// # Errors
/// It is none, or is damaged.
pub(super) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    all_of(flate2::read::GzDecoder::new(bytes)).context("decompressing by gzip")
}

fn all_of(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Blocks of at most 8 MiB, each behind its compressed size; what follows the last is not LZ4's.
fn unlz4(mut blocks: &[u8], len: usize) -> Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        let size = u32_at(blocks, 0)?;
        let block = blocks.get(4..4 + size).context("a block is cut off")?;
        let room = &mut bytes[done..len.min(done + BLOCK)];
        done += lz4_flex::block::decompress_into(block, room)?;
        blocks = &blocks[4 + size..];
    }
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    let field = bytes.get(at..at + 4).context("it is cut off")?;
    Ok(u32::from_le_bytes(field.try_into()?) as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A bzImage with one sector of real-mode code and this payload behind 16 bytes of decompressor.
    fn image_with(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR + 16];
        image[SETUP_SECTS] = 1;
        image[HEADER_MAGIC.0..][..4].copy_from_slice(HEADER_MAGIC.1);
        image[PAYLOAD_OFFSET..][..4].copy_from_slice(&16_u32.to_le_bytes());
        let len = u32::try_from(payload.len()).unwrap();
        image[PAYLOAD_LENGTH..][..4].copy_from_slice(&len.to_le_bytes());
        image.extend(payload);
        image
    }

    fn elf() -> Vec<u8> {
        [b"\x7fELF".as_slice(), &[0; 1000]].concat()
    }

    fn with_size(mut payload: Vec<u8>) -> Vec<u8> {
        payload.extend(u32::try_from(elf().len()).unwrap().to_le_bytes());
        payload
    }

    #[test]
    fn a_gzip_payload_is_found_and_unpacked() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&elf()).unwrap();
        assert_eq!(
            vmlinux(&image_with(&gzip.finish().unwrap())).unwrap(),
            elf()
        );
    }

    #[test]
    fn an_lz4_payload_ends_before_its_size() {
        // Literals alone: a token of 15 and more, the rest of the length, the bytes. (LZ4 block format)
        let elf = elf();
        let mut block = vec![0xf0];
        let mut rest = elf.len() - 15;
        while rest >= 255 {
            block.push(255);
            rest -= 255;
        }
        block.push(u8::try_from(rest).unwrap());
        block.extend(&elf);
        let mut payload = LZ4.to_vec();
        payload.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        payload.extend(block);
        assert_eq!(vmlinux(&image_with(&with_size(payload))).unwrap(), elf);
    }

    #[test]
    fn a_zstd_payload_of_one_raw_block_is_unpacked() {
        // Frame header: one segment, its size in two bytes, 256 less; then the last block, raw. (RFC 8878, 3.1.1)
        let elf = elf();
        let mut payload = ZSTD.to_vec();
        payload.push(0x60);
        payload.extend(u16::try_from(elf.len() - 256).unwrap().to_le_bytes());
        let block = u32::try_from(elf.len()).unwrap() << 3 | 1;
        payload.extend(&block.to_le_bytes()[..3]);
        payload.extend(&elf);
        assert_eq!(vmlinux(&image_with(&with_size(payload))).unwrap(), elf);
    }

    #[test]
    fn damage_is_an_error() {
        assert!(vmlinux(b"MZ").is_err());
        assert!(vmlinux(&image_with(b"what is this?")).is_err());
        let mut image = image_with(&with_size(LZ4.to_vec()));
        image[PAYLOAD_LENGTH + 2] = 1;
        assert!(vmlinux(&image).unwrap_err().to_string().contains("outside"));
    }
}
