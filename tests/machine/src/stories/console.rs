//! The operator's console over the real serial port: views, scrollback, live tables, VMs that come and go.

use anyhow::{Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::rig::{PROMPT, Rig};

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

fn story(stage: &mut Stage<'_>) -> Result<()> {
    let vm = |name| Vm::new(name, config::on_volume(GUEST), config::SMALL);
    let text = config::host(false)
        + &vm(FRONT).text()
        + &vm(BACK).text()
        + &vm(TEMPLATE).line("template = true").text();
    let image = stage.parts.image(&text);
    let image = image.file(&config::on_volume(GUEST), &stage.parts.test_guest(GUEST));
    let mut rig = stage.start(&image, Shape::default())?;
    rig.play(&[FRONT, BACK], |rig| {
        rig.expect("[back] echo up", 60)?;
        stage.verdict("console/confined", is_confined(rig));
        stage.verdict("console/switch", switches(rig));
        stage.verdict("console/scrollback", scrolls_back(rig));
        stage.verdict("console/top", shows_top(rig));
        stage.verdict("console/exits", shows_exits(rig));
        stage.verdict("console/edit-and-complete", edits(rig));
        stage.verdict("console/create-pause-destroy", comes_and_goes(rig));
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        Ok(())
    })
}

/// What the guest says back is text and colour; the title and the window are not touched, and no half sequence is left open.
fn is_confined(rig: &mut Rig) -> Result<()> {
    rig.type_line("a\x1b]0;evil\x07\x1b[5i\x1b[31mb\x1bPc")?;
    let heard = rig.expect("heard a", 20)? + &rig.expect("b", 10)?;
    ensure!(heard.ends_with("\x1b[31mb"), "no colour in {heard:?}");
    rig.open_prompt()?;
    rig.order_says("vms", FRONT)?;
    let transcript = rig.machine.transcript();
    for evil in ["\x1b]", "\x1bP", "\x1b[5i", "evil"] {
        ensure!(!transcript.contains(evil), "{evil:?} got out");
    }
    Ok(())
}

/// From the prompt to the other VM and back.
fn switches(rig: &mut Rig) -> Result<()> {
    rig.type_line(&format!("attach {BACK}"))?;
    let shown = rig.expect("console of vm back", 10)?;
    ensure!(
        shown.contains("echo up"),
        "its last lines are not shown: {shown:?}"
    );
    rig.type_line("to the back")?;
    rig.expect("heard to the back", 20)?;
    rig.open_prompt()?;
    rig.type_line(&format!("attach {FRONT}"))?;
    rig.expect("console of vm front", 10)?;
    // The string that was left open ends here.
    rig.machine.send("\x1b\\\r")?;
    rig.type_line("to the front")?;
    rig.expect("heard to the front", 20)?;
    rig.open_prompt()
}

fn scrolls_back(rig: &mut Rig) -> Result<()> {
    let last = rig.order(&format!("scrollback {BACK} 200"))?;
    ensure!(
        last.contains("\nheard to the back\n") || last.starts_with("heard to the back\n"),
        "it was said and is not kept:\n{last}"
    );
    // The pager, by Page Up, and out of it.
    rig.machine.send("\x1b[5~")?;
    rig.expect("--- front: lines ", 10)?;
    rig.machine.send("q")?;
    rig.expect(PROMPT, 10).map(|_| ())
}

fn shows_top(rig: &mut Rig) -> Result<()> {
    rig.type_line("top")?;
    for _ in 0..2 {
        rig.expect("CPU %", 10)?;
        rig.expect(FRONT, 10)?;
        rig.expect("any key ends this", 10)?;
    }
    rig.machine.send("q")?;
    rig.expect(PROMPT, 10).map(|_| ())
}

fn shows_exits(rig: &mut Rig) -> Result<()> {
    rig.type_line(&format!("exits {FRONT}"))?;
    // It polls its serial port.
    for _ in 0..2 {
        rig.expect("exits of front", 10)?;
        rig.expect("\nin ", 10)?;
        rig.expect("in all", 10)?;
    }
    rig.machine.send(" ")?;
    rig.expect(PROMPT, 10).map(|_| ())
}

/// Home, Delete, a terminal's answer, and Tab.
fn edits(rig: &mut Rig) -> Result<()> {
    rig.type_line("xvm\x1b[24;80Rs\x1b[H\x1b[3~")?;
    rig.expect("running", 10)?;
    rig.expect(PROMPT, 10)?;
    rig.type_line("inf\tba\t")?;
    rig.expect("vm back: Running", 10)?;
    rig.expect(PROMPT, 10).map(|_| ())
}

fn comes_and_goes(rig: &mut Rig) -> Result<()> {
    rig.order_says(&format!("create {TEMPLATE} {THIRD}"), "is there")?;
    rig.order_says(&format!("create {TEMPLATE} {THIRD}"), "already")?;
    rig.type_line(&format!("start {THIRD}"))?;
    rig.expect("[third] echo up", 20)?;
    rig.order_says(&format!("pause {THIRD}"), "pauses")?;
    rig.order_says("vms", "paused")?;
    rig.order_says(&format!("resume {THIRD}"), "goes on")?;
    // Its next tick by itself would be minutes away in Bochs.
    rig.type_line(&format!("attach {THIRD}"))?;
    rig.expect("console of vm third", 10)?;
    rig.type_line("awake")?;
    rig.expect("heard awake", 20)?;
    rig.open_prompt()?;
    // Nobody in it listens to a power button.
    rig.type_line(&format!("stop {THIRD}"))?;
    rig.expect("vm third: stopped: stopped by the operator", 20)?;
    rig.order_says(&format!("devices {THIRD}"), "ports 0x3f8-0x3ff")?;
    rig.order_says(&format!("destroy {THIRD}"), "is gone")?;
    rig.order_says(&format!("start {THIRD}"), "there is no VM")
        .map(|_| ())
}
