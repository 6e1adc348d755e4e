//! A stock Debian kernel: its marker, its shell, its log, its ways to end.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config;
use crate::stories::kernel_log;
use crate::test_machine::{ALL_ENDED, TestMachine};

/// What the initramfs prints when it is up.
pub const MARKER: &str = "CAISSON-GUEST-UP";
/// The begin of the shell's prompt.
pub const SHELL_PROMPT: &str = "guest:";
/// The longest way to the marker in QEMU, in seconds, on a busy machine.
const TO_THE_MARKER_S: u64 = 120;

/// Boots a guest of `guest-images/`; `prefix` begins its tests' names.
pub fn boot(bed: Bed, guest: &'static str, prefix: &'static str, seconds: u32) -> Boot {
    let name = |test: &str| format!("{prefix}/{test}");
    let tests = [
        "marker",
        "shell",
        "clock",
        "kernel-log",
        "reboot",
        "poweroff",
    ]
    .map(name);
    Boot::new(bed, prefix, seconds, tests, move |story_run| {
        story(story_run, guest, prefix)
    })
}

fn story(story_run: &mut StoryRun<'_>, guest: &str, prefix: &str) -> Result<()> {
    let test = |name: &str| format!("{prefix}/{name}");
    let guest = xtask::guest::fetch(guest)?;
    let text = config::host(true) + &guest.vm_section() + "on-reboot = \"restart\"\n";
    let image = story_run.parts.image(&text).guest(&guest);
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm], |test_machine| {
        let log = to_marker(test_machine, vm)?;
        let is_whole = is_marker_true(&log);
        story_run.verdict(&test("marker"), is_whole);
        story_run.verdict(&test("shell"), answers(test_machine));
        story_run.verdict(&test("clock"), has_good_clock(test_machine));
        story_run.verdict(
            &test("kernel-log"),
            kernel_log::check(test_machine.bed, &test_machine.machine.transcript()),
        );
        if story_run.is_open(&test("reboot")) {
            test_machine.type_line("reboot -f")?;
            test_machine.expect(&format!("vm {vm}: reset by the guest ("), 30)?;
            test_machine.expect("; restarts", 5)?;
            to_marker(test_machine, vm).context("after the reboot")?;
            test_machine.expect(SHELL_PROMPT, 30)?;
            story_run.pass(&test("reboot"));
        }
        if story_run.is_open(&test("poweroff")) {
            test_machine.type_line("poweroff -f")?;
            test_machine.expect(&format!("vm {vm}: stopped: powered off by the guest"), 30)?;
            test_machine.expect(ALL_ENDED, 5)?;
            story_run.verdict(&test("poweroff"), test_machine.is_off());
        }
        Ok(())
    })
}

/// Waits for the whole marker line; returns everything up to it.
///
/// # Errors
/// It does not come, or the kernel panics.
pub fn to_marker(test_machine: &mut TestMachine, vm: &str) -> Result<String> {
    to_marker_within(test_machine, vm, TO_THE_MARKER_S)
}

/// As [`to_marker`], for guests that may take longer or must be faster: so many seconds in QEMU.
///
/// # Errors
/// As [`to_marker`].
pub fn to_marker_within(test_machine: &mut TestMachine, vm: &str, qemu_s: u64) -> Result<String> {
    let stopped = format!("vm {vm}: stopped");
    let (which, mut log) = test_machine.expect_any(&[MARKER, "Kernel panic", &stopped], qemu_s)?;
    ensure!(which == 0, "{}", test_machine.last_words());
    log += &test_machine.expect("\n", 10)?;
    Ok(log)
}

/// The marker line says how many CPUs and how much memory; both must have arrived.
fn is_marker_true(log: &str) -> Result<()> {
    let line = log.lines().last().unwrap_or_default();
    ensure!(line.contains("cpus=1"), "not one CPU: {line}");
    let memory_kib: u64 = line
        .split_once("memory_kib=")
        .and_then(|(_, number)| number.trim().parse().ok())
        .with_context(|| format!("no memory in: {line}"))?;
    ensure!(
        (400 << 10..512 << 10).contains(&memory_kib),
        "not about 512 MiB: {line}"
    );
    Ok(())
}

/// The kernel's clock is one that costs no exit: the TSC, or KVM's clock on top of it.
fn has_good_clock(test_machine: &mut TestMachine) -> Result<()> {
    test_machine
        .type_line("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")?;
    let clocks = ["\ntsc", "\nkvm-clock", "\nhpet", "\nacpi_pm", "\njiffies"];
    let (which, _) = test_machine.expect_any(&clocks, 30)?;
    test_machine.expect(SHELL_PROMPT, 30)?;
    ensure!(which < 2, "it uses {}", clocks[which].trim());
    Ok(())
}

/// Types a sum at the shell and reads its result. The shell's prompt has been reached or is near.
///
/// # Errors
/// No prompt or no answer.
pub fn answers(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.expect(SHELL_PROMPT, 60)?;
    sum(test_machine)
}

/// Types a sum and reads its result; the prompt is there.
///
/// # Errors
/// No answer.
pub fn sum(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line("echo $((6*7))")?;
    test_machine.expect("\n42\r", 30)?;
    test_machine.expect(SHELL_PROMPT, 30).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_tells_cpus_and_memory() {
        let line = "x\nCAISSON-GUEST-UP kernel=6.1.0 cpus=1 memory_kib=480000\r\n";
        assert!(is_marker_true(line).is_ok());
        assert!(is_marker_true(&line.replace("480000", "48000")).is_err());
        assert!(is_marker_true(&line.replace("cpus=1", "cpus=2")).is_err());
    }
}
