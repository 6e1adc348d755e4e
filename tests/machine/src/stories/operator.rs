//! Linux and test guests on one CPU, and the operator's prompt over them.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::stories::{kernel_log, linux};
use crate::test_machine::TestMachine;

/// Its VM crashes beside Linux, and again on order.
const CRASHER: &str = "triple_fault";
/// Its VM runs beside Linux all the time.
const NEIGHBOUR: &str = "echo";

const TESTS: [&str; 12] = [
    "neighbours/linux-runs-beside-others",
    "neighbours/crash-is-not-noticed",
    "operator/help",
    "operator/vms",
    "operator/info",
    "operator/unknown-vm",
    "operator/start",
    "operator/attach",
    "operator/log",
    "operator/stop",
    "operator/reset",
    "operator/poweroff",
];

/// Boots Linux with two neighbours on one CPU.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "operator", seconds, TESTS, story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let mut text = config::host(false) + &guest.vm_section();
    let mut image_files = Vec::new();
    for name in [CRASHER, NEIGHBOUR] {
        text += &Vm::test_guest(name).text();
        image_files.push(name);
    }
    let mut image = story_run.parts.image(&text).guest(&guest);
    for name in image_files {
        image = image.file(&config::on_volume(name), &story_run.parts.test_guest(name));
    }
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm, NEIGHBOUR], |test_machine| {
        test_machine.expect(&format!("vm {CRASHER}: stopped: triple fault"), 60)?;
        linux::to_marker(test_machine, vm).context("beside its neighbours")?;
        linux::answers(test_machine)?;
        let transcript = test_machine.machine.transcript();
        let both = kernel_log::check(test_machine.bed, &transcript).and_then(|()| {
            ensure!(
                transcript.contains("[echo] echo up"),
                "the neighbour was not heard"
            );
            Ok(())
        });
        story_run.verdict("neighbours/linux-runs-beside-others", both);

        test_machine.open_prompt()?;
        story_run.verdict(
            "operator/help",
            test_machine.order_says("help", "reset").map(|_| ()),
        );
        let vms = test_machine.order("vms")?;
        story_run.verdict("operator/vms", lists(&vms, vm));
        let info = test_machine.order_says(&format!("info {vm}"), "last exit");
        story_run.verdict(
            "operator/info",
            info.and_then(|page| {
                ensure!(page.contains("Running"), "not shown as running:\n{page}");
                Ok(())
            }),
        );
        story_run.verdict(
            "operator/unknown-vm",
            test_machine
                .order_says("info nobody", "there is no VM")
                .map(|_| ()),
        );

        // A neighbour crashes while Linux is being used.
        test_machine.type_line(&format!("start {CRASHER}"))?;
        test_machine.expect(&format!("{CRASHER} starts"), 10)?;
        test_machine.expect(&format!("vm {CRASHER}: stopped: triple fault"), 20)?;
        story_run.pass("operator/start");
        story_run.verdict(
            "operator/log",
            test_machine
                .order_says("log", &format!("vm {CRASHER}: stopped: triple fault"))
                .map(|_| ()),
        );
        test_machine.close_prompt()?;
        story_run.verdict("neighbours/crash-is-not-noticed", linux::sum(test_machine));

        test_machine.open_prompt()?;
        test_machine.type_line(&format!("attach {NEIGHBOUR}"))?;
        test_machine.expect(&format!("console of vm {NEIGHBOUR}"), 10)?;
        test_machine.type_line("hello")?;
        let heard = test_machine.expect("heard hello", 20).map(|_| ());
        story_run.verdict("operator/attach", heard);
        test_machine.open_prompt()?;

        stop_and_reset(story_run, test_machine, vm)?;
        test_machine.open_prompt()?;
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        story_run.verdict("operator/poweroff", test_machine.is_off());
        Ok(())
    })
}

/// Stops Linux, starts it, and resets it in the middle of its boot.
fn stop_and_reset(
    story_run: &mut StoryRun<'_>,
    test_machine: &mut TestMachine,
    vm: &str,
) -> Result<()> {
    test_machine.type_line(&format!("kill {vm}"))?;
    test_machine.expect(&format!("vm {vm}: stopped: stopped by the operator"), 10)?;
    let vms = test_machine.order("vms")?;
    story_run.verdict("operator/stop", has_state(&vms, vm, "stopped"));

    // Twice from the start: once because it was stopped, once out of the middle of its boot.
    test_machine.type_line(&format!("start {vm}"))?;
    test_machine.expect(&format!("{vm} starts"), 10)?;
    test_machine.expect(&format!("[{vm}] "), 60)?;
    test_machine.type_line(&format!("reset {vm}"))?;
    test_machine.expect(&format!("vm {vm}: stopped by the operator; restarts"), 20)?;
    test_machine.type_line(&format!("attach {vm}"))?;
    test_machine.expect(&format!("console of vm {vm}"), 10)?;
    let again = linux::to_marker(test_machine, vm).and_then(|_| linux::answers(test_machine));
    story_run.verdict("operator/reset", again);
    Ok(())
}

/// All three VMs with their states.
fn lists(vms: &str, linux: &str) -> Result<()> {
    has_state(vms, linux, "running")?;
    has_state(vms, NEIGHBOUR, "running")?;
    has_state(vms, CRASHER, "stopped")
}

fn has_state(vms: &str, vm: &str, state: &str) -> Result<()> {
    let line = vms
        .lines()
        .find(|line| line.split_whitespace().next() == Some(vm))
        .with_context(|| format!("{vm} is not listed:\n{vms}"))?;
    ensure!(line.contains(state), "not {state}: {line}");
    Ok(())
}
