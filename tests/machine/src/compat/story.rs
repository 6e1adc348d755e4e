//! One guest with so many vCPUs: it comes up, all its CPUs work, its log is clean, it switches itself off.

use anyhow::{Context, Result, ensure};

use super::rows::{Depth, Row};
use crate::beds::Shape;
use crate::boot::StoryRun;
use crate::config;
use crate::stories::{kernel_log, linux};
use crate::test_machine::{ALL_ENDED, TestMachine};

/// The longest way up in QEMU, in seconds: more vCPUs than CPUs, on a busy machine.
const UP_S: u64 = 300;
/// What the hypervisor needs beside its guest, in MiB; the initial RAM disk is kept for restarts.
const BESIDE_MIB: u32 = 512;

/// Plays one cell.
pub(super) fn play(story_run: &mut StoryRun<'_>, row: Row, cpus: u32) -> Result<()> {
    let mut guest = xtask::guest::fetch(row.guest)?;
    guest.vm.cpus = cpus;
    let text = config::host(true) + &guest.vm_section();
    let image = story_run.parts.image(&text).guest(&guest);
    let memory_mib = memory_mib(&guest.vm.memory)? + BESIDE_MIB;
    let shape = Shape {
        memory_mib,
        ..Shape::of(story_run.bed())
    };
    let mut test_machine = story_run.start(&image, shape)?;
    let vm = guest.name.as_str();
    let outcome = test_machine.play(&[vm], |test_machine| {
        match row.depth {
            Depth::Shell => shell(test_machine, vm, cpus)?,
            Depth::Line | Depth::Story(_) => line(test_machine, vm, &guest.vm.up)?,
        }
        kernel_log::check(test_machine.bed, &test_machine.machine.transcript())
    });
    story_run.verdict(&row.test(cpus), outcome);
    Ok(())
}

fn line(test_machine: &mut TestMachine, vm: &str, up: &str) -> Result<()> {
    let stopped = format!("vm {vm}: stopped");
    let (which, _) = test_machine.expect_any(&[up, "Kernel panic", &stopped], UP_S)?;
    ensure!(which == 0, "no `{up}` but\n{}", test_machine.last_words());
    Ok(())
}

fn shell(test_machine: &mut TestMachine, vm: &str, cpus: u32) -> Result<()> {
    linux::to_marker_within(test_machine, vm, UP_S)?;
    test_machine.expect(linux::SHELL_PROMPT, 120)?;
    test_machine.type_line("vm-check")?;
    let text = test_machine.expect(" end\r", 120)?;
    all_work(&text, cpus)?;
    test_machine.type_line("poweroff -f")?;
    test_machine.expect(&format!("vm {vm}: stopped: powered off by the guest"), 60)?;
    test_machine.expect(ALL_ENDED, 30)?;
    test_machine.is_off()
}

/// Reads what `vm-check` says: the number of CPUs, those online, the clock, and how long each ran.
fn all_work(text: &str, cpus: u32) -> Result<()> {
    let says = |what: &str| {
        let rest = text.split_once(what).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.lines().next())
            .with_context(|| format!("no `{what}` in:\n{text}"))
    };
    let online = match cpus {
        1 => "0".to_owned(),
        _ => format!("0-{}", cpus - 1),
    };
    let wanted = format!("cpus={cpus} online={online} clock=tsc");
    let found = says("VM-CHECK ")?.trim();
    ensure!(
        found == wanted,
        "it should say `{wanted}` and says `{found}`"
    );
    let ran = says("VM-CHECK ran")?;
    for cpu in 0..cpus {
        let ticks = ran
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .find(|(name, _)| *name == format!("cpu{cpu}"))
            .and_then(|(_, ticks)| ticks.parse::<u32>().ok())
            .with_context(|| format!("no CPU {cpu} in `{ran}`"))?;
        ensure!(ticks > 0, "CPU {cpu} took no part in the load: `{ran}`");
    }
    Ok(())
}

fn memory_mib(text: &str) -> Result<u32> {
    let mib = text
        .strip_suffix('M')
        .and_then(|number| number.parse().ok());
    mib.with_context(|| format!("a recipe's memory is in MiB, `{text}` is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "guest:/# vm-check\r\nVM-CHECK cpus=2 online=0-1 clock=tsc\r\nVM-CHECK ran cpu0=190 cpu1=7 end\r";

    #[test]
    fn a_good_answer_passes() {
        all_work(GOOD, 2).unwrap();
    }

    #[test]
    fn every_lie_is_found() {
        assert!(all_work(GOOD, 4).is_err());
        assert!(all_work(&GOOD.replace("tsc", "hpet"), 2).is_err());
        assert!(all_work(&GOOD.replace("0-1", "0"), 2).is_err());
        assert!(all_work(&GOOD.replace("cpu1=7", "cpu1=0"), 2).is_err());
        assert!(all_work(&GOOD.replace(" cpu1=7", ""), 2).is_err());
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(memory_mib("512M").unwrap(), 512);
        assert!(memory_mib("1G").is_err());
    }
}
