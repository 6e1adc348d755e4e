//! Bytes and lines.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::ui::{Step, say};

use crate::beds::{self, Shape};
use crate::config;
use crate::parts::Parts;
use crate::stories::linux;
use crate::test_machine::TestMachine;

/// What is measured once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// `caisson.elf`, as it lies on the boot volume.
    pub(super) hypervisor_file_bytes: u64,
    /// `BOOTX64.EFI`.
    pub(super) loader_file_bytes: u64,
    /// What the hypervisor holds beside the guest's RAM while one VM of 512 MiB runs Linux, the guest's files included.
    pub(super) hypervisor_bytes: u64,
    /// Lines with `unsafe` in all our crates.
    pub(super) unsafe_lines: u64,
}

impl Sizes {
    pub(super) fn measure(parts: &Parts) -> Result<Self> {
        Ok(Self {
            hypervisor_file_bytes: len(&parts.hypervisor)?,
            loader_file_bytes: len(&parts.loader)?,
            hypervisor_bytes: hypervisor_bytes(parts)?,
            unsafe_lines: xtask::check::unsafe_lines()? as u64,
        })
    }

    /// Hypervisor and loader.
    pub(super) fn image_bytes(&self) -> u64 {
        self.hypervisor_file_bytes + self.loader_file_bytes
    }
}

/// Begins the line of the operator's page that says what the hypervisor's memory is for.
const PARTS: &str = "the hypervisor's: ";

fn len(path: &Path) -> Result<u64> {
    let file = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    Ok(file.len())
}

/// Boots one VM of 512 MiB and asks the operator's prompt.
fn hypervisor_bytes(parts: &Parts) -> Result<u64> {
    let step = Step::start("memory of the hypervisor, one VM of 512 MiB");
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let text = config::host(false) + &guest.vm_section();
    let image = parts.image(&text).guest(&guest);
    let mut test_machine =
        TestMachine::start(beds::QEMU, "bench-memory", &image, Shape::default())?;
    linux::to_marker(&mut test_machine, &guest.name)?;
    test_machine.open_prompt()?;
    let page = test_machine.order("host")?;
    let kib = |what| kib_in(&page, what).with_context(|| format!("no `KiB {what}` in:\n{page}"));
    let (files, own) = (kib("files")?, kib("hypervisor")?);
    step.done(&format!("{own} KiB and {files} KiB of the guest's files"));
    if let Some(parts) = page.lines().find(|line| line.starts_with(PARTS)) {
        say(parts);
    }
    Ok((own + files) << 10)
}

/// Reads `… 1234 KiB WHAT`.
fn kib_in(page: &str, what: &str) -> Option<u64> {
    let (before, _) = page.split_once(&format!(" KiB {what}"))?;
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_page_is_read() {
        let page = "memory: 990 MiB in all, 400 MiB free, 512 MiB guests, 15 KiB files, 9876 KiB hypervisor\n";
        assert_eq!(kib_in(page, "hypervisor"), Some(9876));
        assert_eq!(kib_in(page, "files"), Some(15));
        assert_eq!(kib_in("nothing", "files"), None);
    }
}
