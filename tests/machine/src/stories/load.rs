//! A stock Linux with four vCPUs that all work, on fewer CPUs and on as many.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config;
use crate::stories::{kernel_log, linux};
use crate::test_machine::{ALL_ENDED, TestMachine};

/// vCPUs.
const CPUS: u32 = 4;
/// Works with all CPUs at once and says what came of it.
const COMMAND: &str = "smp-load";
/// What it says last.
const END: &str = "SMP-LOAD end";
/// The longest it may take in QEMU, in seconds, on a busy machine.
const LOAD_S: u64 = 240;
/// The longest way up.
const UP_S: u64 = 200;

const DONE: &str = "load/parallel-work-is-done";
const LOG: &str = "load/kernel-log";

/// Boots it on this bed.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "load", seconds, [DONE, LOG], story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    guest.vm.cpus = CPUS;
    let text = config::host(true) + &guest.vm_section();
    let image = story_run.parts.image(&text).guest(&guest);
    let mut test_machine = story_run.start(&image, Shape::of(story_run.bed()))?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm], |test_machine| {
        linux::to_marker_within(test_machine, vm, UP_S)?;
        test_machine.expect(linux::SHELL_PROMPT, 120)?;
        story_run.verdict(DONE, work(test_machine));
        story_run.verdict(
            LOG,
            kernel_log::check(test_machine.bed, &test_machine.machine.transcript()),
        );
        test_machine.type_line("poweroff -f")?;
        test_machine.expect(&format!("vm {vm}: stopped: powered off by the guest"), 60)?;
        test_machine.expect(ALL_ENDED, 30).map(|_| ())
    })
}

fn work(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line(COMMAND)?;
    let report = test_machine.expect(END, LOAD_S)?;
    test_machine.expect(linux::SHELL_PROMPT, 60)?;
    judge(&report, CPUS)
}

/// Reads what `smp-load` says.
fn judge(report: &str, cpus: u32) -> Result<()> {
    let lines: Vec<&str> = report
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SMP-LOAD "))
        .collect();
    let wanted = format!("cpus={cpus} right={} hashes=1 clock=tsc", 2 * cpus);
    ensure!(
        lines.first() == Some(&wanted.as_str()),
        "it should say `{wanted}` and says\n{report}"
    );
    let number = |words: &str, name: &str| -> Option<u32> {
        let (_, rest) = words.split_once(&format!("{name}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let ran = lines
        .iter()
        .find_map(|line| line.strip_prefix("ran"))
        .with_context(|| format!("it does not say how long the CPUs ran:\n{report}"))?;
    let mut ipis = 0;
    for cpu in 0..cpus {
        let ticks = number(ran, &format!("cpu{cpu}"));
        let took = lines
            .iter()
            .find_map(|line| line.strip_prefix(&format!("took cpu{cpu} ")));
        let took = took.with_context(|| format!("nothing of CPU {cpu}:\n{report}"))?;
        let timer = number(took, "timer");
        ipis += number(took, "ipi").unwrap_or(0);
        ensure!(
            ticks.is_some_and(|ticks| ticks > 0) && timer.is_some_and(|timer| timer > 0),
            "CPU {cpu} had no part in it:\n{report}"
        );
    }
    ensure!(ipis > 0, "no CPU interrupted another:\n{report}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "smp-load\r\nSMP-LOAD cpus=2 right=4 hashes=1 clock=tsc\r\n\
        SMP-LOAD ran cpu0=190 cpu1=7\r\nSMP-LOAD took cpu0 timer=5 ipi=0\r\n\
        SMP-LOAD took cpu1 timer=9 ipi=3\r\nSMP-LOAD end";

    #[test]
    fn a_good_report_passes() {
        judge(GOOD, 2).unwrap();
    }

    #[test]
    fn what_was_not_done_is_found() {
        for (good, bad) in [
            ("right=4", "right=3"),
            ("hashes=1", "hashes=2"),
            ("clock=tsc", "clock=hpet"),
            ("cpu1=7", "cpu1=0"),
            ("timer=9", "timer=0"),
            ("ipi=3", "ipi=0"),
            ("SMP-LOAD ran", "SMP-LOAD had"),
        ] {
            assert!(judge(&GOOD.replace(good, bad), 2).is_err(), "{bad}");
        }
        assert!(judge(GOOD, 3).is_err());
    }
}
