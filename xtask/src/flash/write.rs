//! Copies an image to a device and reads it back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::ui::Step;

const CHUNK: usize = 1 << 20;
/// Linux refuses a block device that is mounted or in use when it is opened with this. (open(2))
const O_EXCL: i32 = 0o200;

/// Writes all of `image` to the start of `target`, flushes it, reads it back and compares.
pub(super) fn copy_and_verify(image: &Path, target: &Path) -> Result<()> {
    let mut from = File::open(image).with_context(|| format!("opening {}", image.display()))?;
    let len = from.metadata()?.len();
    let is_device = !std::fs::metadata(target)?.is_file();
    let mut to = File::options()
        .read(true)
        .write(true)
        .custom_flags(if is_device { O_EXCL } else { 0 })
        .open(target)
        .with_context(|| {
            format!(
                "opening {} for writing (root may be needed)",
                target.display()
            )
        })?;
    let step = Step::bytes(format!("writing {}", target.display()), len);
    let mut written = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        to.write_all(&chunk[..count]).context("writing")?;
        written.update(&chunk[..count]);
        step.advance(count as u64);
    }
    to.sync_all()
        .context("waiting for the disk to have written everything")?;
    step.done("");
    drop(to);
    verify(target, len, &written.finalize())
}

fn verify(target: &Path, len: u64, expected: &[u8]) -> Result<()> {
    let mut back = File::open(target)?;
    drop_cache(&back);
    back.seek(SeekFrom::Start(0))?;
    let step = Step::bytes(format!("reading back {}", target.display()), len);
    let mut read = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = len;
    while left > 0 {
        let want = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
        let count = back.read(&mut chunk[..want]).context("reading back")?;
        if count == 0 {
            bail!("{} ends {left} bytes too early", target.display());
        }
        read.update(&chunk[..count]);
        step.advance(count as u64);
        left -= count as u64;
    }
    if read.finalize().as_slice() != expected {
        bail!(
            "{} reads back differently from what was written: the stick may be broken",
            target.display()
        );
    }
    step.done("identical");
    Ok(())
}

/// Asks the kernel to forget what it has cached, so that the medium itself is read.
fn drop_cache(file: &File) {
    // Only advice; a kernel that ignores it makes the check weaker, not wrong.
    let _ = nix::fcntl::posix_fadvise(
        file,
        0,
        0,
        nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (image, target) = (dir.path().join("image"), dir.path().join("target"));
        std::fs::write(&image, vec![0x5a; 3 * CHUNK + 17]).unwrap();
        std::fs::write(&target, vec![0; 5 * CHUNK]).unwrap();
        copy_and_verify(&image, &target).unwrap();
        let after = std::fs::read(&target).unwrap();
        assert_eq!(after.len(), 5 * CHUNK);
        assert!(after[..3 * CHUNK + 17].iter().all(|byte| *byte == 0x5a));
    }

    #[test]
    fn a_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, b"abd").unwrap();
        let error = verify(&target, 3, &Sha256::digest(b"abc")).unwrap_err();
        assert!(error.to_string().contains("differently"));
    }
}
