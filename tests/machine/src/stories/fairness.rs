//! VMs that want more than there is of one CPU: who gets how much, and who has to wait for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::lines;
use crate::test_machine::TestMachine;

/// Sleeps, and answers what is typed.
const ANSWER: &str = "answer";
/// Computes.
const WORK: &str = "work";
/// Keeps the hypervisor busy.
const STORM: &str = "storm";

const LIGHT: &str = "light";
const HEAVY: &str = "heavy";
const CAPPED: &str = "capped";
/// In percent.
const CAP: u64 = 20;

const WEIGHTS: &str = "fairness/weights-1-to-2";
const BUSY: &str = "fairness/echo-beside-busy-vms";
const EXITS: &str = "fairness/echo-beside-a-storm-of-exits";
const KEPT: &str = "fairness/cap";

/// How many reports are waited for, half a second of the guest's time apart at least.
const REPORTS: u32 = 14;
/// How often so many, at most.
const MAX_ROUNDS: u32 = 6;
/// What a VM computes before that is not counted: both have come up then.
const WARM_UP_MS: u64 = 1_000;
/// How far from the weights, in percent.
const TOLERANCE: u64 = 5;
/// Lines that are typed.
const LINES: u32 = 5;
/// The longest that the fastest answer may take in QEMU, in ms: keys are looked for every 10 ms, and the rest is the emulator's.
const PROMPT_MS: u64 = 300;

/// Boots them on this bed, which has one CPU.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(
        bed,
        "fairness",
        seconds,
        [WEIGHTS, BUSY, EXITS, KEPT],
        story,
    )
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let vm = |name, guest| Vm::new(name, config::on_volume(guest), config::SMALL);
    let text = config::host(false)
        + &vm(ANSWER, ANSWER).text()
        + &vm(LIGHT, WORK).text()
        + &vm(HEAVY, WORK).line("weight = 200").text()
        + &vm(STORM, STORM).line("autostart = false").text()
        + &vm(CAPPED, WORK)
            .line(&format!("cap = {CAP}"))
            .line("weight = 10000")
            .line("autostart = false")
            .text();
    let mut image = story_run.parts.image(&text);
    for guest in [ANSWER, WORK, STORM] {
        image = image.file(
            &config::on_volume(guest),
            &story_run.parts.test_guest(guest),
        );
    }
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.play(&[ANSWER, LIGHT, HEAVY], |test_machine| {
        test_machine.expect("answer up", 60)?;
        story_run.verdict(WEIGHTS, settle_by_weight(test_machine));
        story_run.verdict(BUSY, answers_promptly(test_machine, "busy"));
        start(test_machine, STORM)?;
        story_run.verdict(EXITS, answers_promptly(test_machine, "storm"));
        start(test_machine, CAPPED)?;
        story_run.verdict(KEPT, keeps_its_cap(test_machine));
        test_machine.open_prompt()?;
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 20)?;
        test_machine.is_off()
    })
}

fn start(test_machine: &mut TestMachine, vm: &str) -> Result<()> {
    test_machine.open_prompt()?;
    test_machine.type_line(&format!("start {vm}"))?;
    test_machine.expect(&format!("vm {vm}: starts"), 20)?;
    test_machine.expect(&format!("[{vm}] "), 60)?;
    test_machine.close_prompt()
}

/// Types lines and times the answers. The machine under the emulator has other work too: the fastest answer counts.
fn answers_promptly(test_machine: &mut TestMachine, word: &str) -> Result<()> {
    let mut fastest = Duration::MAX;
    for number in 0..LINES {
        let line = format!("{word}{number}");
        test_machine.type_line(&line)?;
        let typed = Instant::now();
        test_machine.expect(&format!("heard {line}"), 20)?;
        fastest = fastest.min(typed.elapsed());
    }
    let limit = test_machine
        .bed
        .patience(1)
        .mul_f64(PROMPT_MS as f64 / 1_000.0);
    ensure!(fastest <= limit, "the fastest answer took {fastest:?}");
    Ok(())
}

/// What a VM has reported: pieces of work, and when, in ms of its own time.
fn reports(transcript: &str, vm: &str) -> Vec<(u64, u64)> {
    let begin = format!("[{vm}] work ");
    transcript
        .lines()
        .filter_map(|line| {
            let (_, report) = lines::shown(line).split_once(&begin)?;
            let (pieces, at_ms) = report.trim().split_once(" at ")?;
            Some((pieces.parse().ok()?, at_ms.parse().ok()?))
        })
        .collect()
}

/// Pieces of work in a second, in thousandths.
fn rate(transcript: &str, vm: &str) -> Result<u64> {
    let mut reports = reports(transcript, vm);
    reports.retain(|(_, at_ms)| *at_ms >= WARM_UP_MS);
    let (first, last) = reports
        .first()
        .zip(reports.last())
        .with_context(|| format!("{vm} reports nothing"))?;
    let ms = last.1 - first.1;
    ensure!(ms >= 2_000, "{vm} reports for {ms} ms only");
    Ok((last.0 - first.0) * 1_000_000 / ms)
}

/// Waits until the work done so far is as the weights. An emulator that shares its own CPU with others stands still now and then, at the
/// expense of whose turn it is; that evens out.
fn settle_by_weight(test_machine: &mut TestMachine) -> Result<()> {
    for longer in 1.. {
        for _ in 0..REPORTS {
            test_machine.expect(&format!("[{LIGHT}] work "), 60)?;
        }
        let outcome = share_by_weight(&test_machine.machine.transcript());
        if outcome.is_ok() || longer == MAX_ROUNDS {
            return outcome;
        }
    }
    Ok(())
}

fn share_by_weight(transcript: &str) -> Result<()> {
    let (light, heavy) = (rate(transcript, LIGHT)?, rate(transcript, HEAVY)?);
    let off = heavy.abs_diff(2 * light);
    ensure!(
        off * 100 <= 2 * light * TOLERANCE,
        "weights 100 and 200 get {light} and {heavy}"
    );
    Ok(())
}

/// Compares the VM's time on the CPU with the time that passes for its guest.
fn keeps_its_cap(test_machine: &mut TestMachine) -> Result<()> {
    let before = look(test_machine)?;
    for _ in 0..REPORTS {
        test_machine.expect(&format!("[{CAPPED}] work "), 60)?;
    }
    let after = look(test_machine)?;
    let (ran, passed) = (after.0 - before.0, after.1 - before.1);
    let percent = ran * 100 / passed.max(1);
    ensure!(
        percent.abs_diff(CAP) <= 2,
        "{ran} ms on the CPU in {passed} ms: {percent} %, not {CAP} %"
    );
    Ok(())
}

/// How long the capped VM was on its CPU, and its time, in ms.
fn look(test_machine: &mut TestMachine) -> Result<(u64, u64)> {
    test_machine.expect(&format!("[{CAPPED}] work "), 60)?;
    test_machine.open_prompt()?;
    let page = test_machine.order(&format!("info {CAPPED}"))?;
    test_machine.close_prompt()?;
    let ran = page
        .split_once("on its CPU for ")
        .and_then(|(_, rest)| rest.split_once(" ms"))
        .and_then(|(ms, _)| ms.parse().ok())
        .with_context(|| format!("no run time in:\n{page}"))?;
    let reports = reports(&test_machine.machine.transcript(), CAPPED);
    let last = reports.last().context("it reports nothing")?;
    Ok((ran, last.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[light] work 1 at 3\r\n[light] work 100 at 1000\r\n[heavy] work 200 at 1100\r\n\
        xy\r\x1b[K[light] work 300 at 3000\r\n[heavy] work 604 at 3100\r\n";

    #[test]
    fn twice_the_weight_is_twice_the_work() {
        share_by_weight(GOOD).unwrap();
        assert!(share_by_weight(&GOOD.replace("604", "650")).is_err());
        assert!(share_by_weight(&GOOD.replace("[heavy]", "[other]")).is_err());
    }
}
