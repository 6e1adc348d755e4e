//! Instructions from a kernel's 64-bit entry to its marker, with Caisson and without.
//!
//! Both boot the same kernel with the same initramfs, memory and command line in the same emulator, with a clock that counts
//! instructions. The initramfs is the usual one, but its `init` executes the plugin's mark behind the marker line and then switches
//! the machine off. Firmware and loaders are left out on both sides: with Caisson the count begins at its first VM entry.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::bed::{Config, qemu};
use xtask::guest::{Guest, cpio};
use xtask::procs::{OwnedChild, Scratch, emulator};
use xtask::ui::Step;

pub(super) use super::plugin::Counts;
use super::plugin::{self, Begin, GUEST_IS_UP};
use crate::config;
use crate::parts::Parts;

/// Where QEMU puts the kernel's 64-bit entry. (Linux/x86 boot protocol: 0x200 behind the protected-mode part)
const ENTRY_64: u64 = 0x10_0200;
/// Memory of the VM and of the machine without Caisson, in MiB.
const MEMORY_MIB: u32 = 512;
const TIMEOUT: Duration = Duration::from_secs(600);

/// Without, then with.
pub(super) fn both(parts: &Parts) -> Result<(Counts, Counts)> {
    let plugin = plugin::build("count")?;
    let scratch = Scratch::new("bench-linux")?;
    let mut guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    guest.initrd = Some(marking_initramfs(&guest, scratch.path())?);
    guest.vm.memory = format!("{MEMORY_MIB}M");
    let bare = bare(&guest, &plugin, scratch.path())?;
    let inside = inside(parts, &guest, &plugin, scratch.path())?;
    Ok((bare, inside))
}

/// The guest's initramfs with another `init`, and a program that is little but the mark.
fn marking_initramfs(guest: &Guest, folder: &Path) -> Result<PathBuf> {
    let init = xtask::paths::root().join("guest-images/initramfs/init");
    let init =
        std::fs::read_to_string(&init).with_context(|| format!("reading {}", init.display()))?;
    let ended = init.replace("exec $busybox init", "/mark\n$busybox poweroff -f");
    ensure!(
        ended != init,
        "guest-images/initramfs/init does not end as expected"
    );
    let mut archive = std::fs::read(guest.initramfs()?)?;
    archive.extend(cpio::overlay(&[
        ("init", ended.as_bytes()),
        ("mark", &mark_program()),
    ])?);
    let path = folder.join("initrd.img");
    std::fs::write(&path, archive)?;
    Ok(path)
}

/// A static ELF64 program: the mark, then `exit(0)`. (System V ABI, ELF-64 header and program header)
fn mark_program() -> Vec<u8> {
    const LOADED_AT: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut code = plugin::mark(GUEST_IS_UP);
    // mov eax, 60 (exit); xor edi, edi; syscall
    code.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    let len = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // Executable, x86-64, version 1.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, no section headers.
    for word in [LOADED_AT + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    // Flags; sizes of header and program header; one of these; no sections.
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // Load, readable and executable.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, LOADED_AT, LOADED_AT, len, len, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// The kernel alone in the machine.
fn bare(guest: &Guest, plugin: &Path, folder: &Path) -> Result<Counts> {
    let step = Step::start("Linux without Caisson (QEMU, counting)");
    let result = folder.join("bare");
    let log = xtask::paths::target("logs/bench-linux-bare-serial.log")?;
    let mut command = emulator("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=single"])
        .args(["-icount", "shift=0,sleep=off", "-seed", "1"])
        .args(["-rtc", "base=2026-01-01T00:00:00,clock=vm"])
        .args(["-machine", "q35", "-cpu", qemu::CPU, "-smp", "1"])
        .args(["-m", &format!("{MEMORY_MIB}M")])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-monitor",
            "none",
        ])
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .arg("-kernel")
        .arg(&guest.kernel)
        .arg("-initrd")
        .arg(guest.initramfs()?)
        .args(["-append", &guest.vm.cmdline])
        .args(plugin::arguments(
            plugin,
            &result,
            Begin::Address(ENTRY_64),
            GUEST_IS_UP,
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let mut child = OwnedChild::spawn(&mut command).context("starting qemu-system-x86_64")?;
    if child.wait(TIMEOUT).is_none() {
        bail!("it did not end; see {}", xtask::paths::shown(&log));
    }
    let counts = plugin::read(&result)?;
    step.done(&format!(
        "{} million instructions",
        counts.total / 1_000_000
    ));
    Ok(counts)
}

/// The same in a VM.
fn inside(parts: &Parts, guest: &Guest, plugin: &Path, folder: &Path) -> Result<Counts> {
    let step = Step::start("Linux with Caisson (QEMU, counting)");
    let result = folder.join("inside");
    let image = folder.join("caisson.img");
    let text = config::host(true) + &guest.vm_section();
    xtask::image::build(&parts.image(&text).guest(guest), &image)?;
    let options = qemu::Options {
        is_counting: true,
        extra: plugin::arguments(plugin, &result, Begin::FirstEntry, GUEST_IS_UP),
        ..qemu::Options::default()
    };
    let mut machine = qemu::start(&Config::new("bench-linux-inside", image), &options)?;
    if machine.wait(TIMEOUT).is_none() {
        bail!("it did not end\n{}", machine.diagnosis());
    }
    let counts = plugin::read(&result).with_context(|| machine.diagnosis())?;
    step.done(&format!(
        "{} million instructions",
        counts.total / 1_000_000
    ));
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_program_is_a_small_elf() {
        let elf = mark_program();
        assert_eq!(elf.len(), 120 + 8 + 9);
        assert_eq!(&elf[24..32], &0x40_0078_u64.to_le_bytes());
        assert_eq!(elf[120..128], plugin::mark(GUEST_IS_UP));
        assert_eq!(elf[64], 1);
    }
}
