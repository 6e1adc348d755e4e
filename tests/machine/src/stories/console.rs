//! The operator's console over the real serial port: views, scrollback, live tables, VMs that come and go.

use anyhow::{Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::test_machine::{PROMPT, TestMachine};

/// What all VMs here run.
const GUEST: &str = "echo";
/// Has the console first, is beside it, and is what another one is made from.
const FRONT: &str = "front";
const BACK: &str = "back";
const TEMPLATE: &str = "template";
/// Made from the template.
const THIRD: &str = "third";

const TESTS: [&str; 7] = [
    "console/confined",
    "console/switch",
    "console/scrollback",
    "console/top",
    "console/exits",
    "console/edit-and-complete",
    "console/create-pause-destroy",
];

/// Boots VMs that answer what is typed.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "console", seconds, TESTS, story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let vm = |name| Vm::new(name, config::on_volume(GUEST), config::SMALL);
    let text = config::host(false)
        + &vm(FRONT).text()
        + &vm(BACK).text()
        + &vm(TEMPLATE).line("template = true").text();
    let image = story_run.parts.image(&text);
    let image = image.file(
        &config::on_volume(GUEST),
        &story_run.parts.test_guest(GUEST),
    );
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.play(&[FRONT, BACK], |test_machine| {
        test_machine.expect("[back] echo up", 60)?;
        story_run.verdict("console/confined", is_confined(test_machine));
        story_run.verdict("console/switch", switches(test_machine));
        story_run.verdict("console/scrollback", scrolls_back(test_machine));
        story_run.verdict("console/top", shows_top(test_machine));
        story_run.verdict("console/exits", shows_exits(test_machine));
        story_run.verdict("console/edit-and-complete", edits(test_machine));
        story_run.verdict("console/create-pause-destroy", comes_and_goes(test_machine));
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        Ok(())
    })
}

/// What the guest says back is text and colour; the title and the window are not touched, and no half sequence is left open.
fn is_confined(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line("a\x1b]0;evil\x07\x1b[5i\x1b[31mb\x1bPc")?;
    let heard = test_machine.expect("heard a", 20)? + &test_machine.expect("b", 10)?;
    ensure!(heard.ends_with("\x1b[31mb"), "no colour in {heard:?}");
    test_machine.open_prompt()?;
    test_machine.order_says("vms", FRONT)?;
    let transcript = test_machine.machine.transcript();
    for evil in ["\x1b]", "\x1bP", "\x1b[5i", "evil"] {
        ensure!(!transcript.contains(evil), "{evil:?} got out");
    }
    Ok(())
}

/// From the prompt to the other VM and back.
fn switches(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line(&format!("attach {BACK}"))?;
    let shown = test_machine.expect("console of vm back", 10)?;
    ensure!(
        shown.contains("echo up"),
        "its last lines are not shown: {shown:?}"
    );
    test_machine.type_line("to the back")?;
    test_machine.expect("heard to the back", 20)?;
    test_machine.open_prompt()?;
    test_machine.type_line(&format!("attach {FRONT}"))?;
    test_machine.expect("console of vm front", 10)?;
    // The string that was left open ends here.
    test_machine.machine.send("\x1b\\\r")?;
    test_machine.type_line("to the front")?;
    test_machine.expect("heard to the front", 20)?;
    test_machine.open_prompt()
}

fn scrolls_back(test_machine: &mut TestMachine) -> Result<()> {
    let last = test_machine.order(&format!("scrollback {BACK} 200"))?;
    ensure!(
        last.contains("\nheard to the back\n") || last.starts_with("heard to the back\n"),
        "it was said and is not kept:\n{last}"
    );
    // The pager, by Page Up, and out of it.
    test_machine.machine.send("\x1b[5~")?;
    test_machine.expect("--- front: lines ", 10)?;
    test_machine.machine.send("q")?;
    test_machine.expect(PROMPT, 10).map(|_| ())
}

fn shows_top(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line("top")?;
    for _ in 0..2 {
        test_machine.expect("CPU %", 10)?;
        test_machine.expect(FRONT, 10)?;
        test_machine.expect("any key ends this", 10)?;
    }
    test_machine.machine.send("q")?;
    test_machine.expect(PROMPT, 10).map(|_| ())
}

fn shows_exits(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line(&format!("exits {FRONT}"))?;
    // It polls its serial port.
    for _ in 0..2 {
        test_machine.expect("exits of front", 10)?;
        test_machine.expect("\nin ", 10)?;
        test_machine.expect("in all", 10)?;
    }
    test_machine.machine.send(" ")?;
    test_machine.expect(PROMPT, 10).map(|_| ())
}

/// Home, Delete, a terminal's answer, and Tab.
fn edits(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line("xvm\x1b[24;80Rs\x1b[H\x1b[3~")?;
    test_machine.expect("running", 10)?;
    test_machine.expect(PROMPT, 10)?;
    test_machine.type_line("inf\tba\t")?;
    test_machine.expect("vm back: Running", 10)?;
    test_machine.expect(PROMPT, 10).map(|_| ())
}

fn comes_and_goes(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.order_says(&format!("create {TEMPLATE} {THIRD}"), "is there")?;
    test_machine.order_says(&format!("create {TEMPLATE} {THIRD}"), "already")?;
    test_machine.type_line(&format!("start {THIRD}"))?;
    test_machine.expect("[third] echo up", 20)?;
    test_machine.order_says(&format!("pause {THIRD}"), "pauses")?;
    test_machine.order_says("vms", "paused")?;
    test_machine.order_says(&format!("resume {THIRD}"), "goes on")?;
    // Its next tick by itself would be minutes away in Bochs.
    test_machine.type_line(&format!("attach {THIRD}"))?;
    test_machine.expect("console of vm third", 10)?;
    test_machine.type_line("awake")?;
    test_machine.expect("heard awake", 20)?;
    test_machine.open_prompt()?;
    // Nobody in it listens to a power button.
    test_machine.type_line(&format!("stop {THIRD}"))?;
    test_machine.expect("vm third: stopped: stopped by the operator", 20)?;
    test_machine.order_says(&format!("devices {THIRD}"), "ports 0x3f8-0x3ff")?;
    test_machine.order_says(&format!("destroy {THIRD}"), "is gone")?;
    test_machine
        .order_says(&format!("start {THIRD}"), "there is no VM")
        .map(|_| ())
}
