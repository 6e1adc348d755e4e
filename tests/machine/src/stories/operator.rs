//! Linux and test guests on one CPU, and the operator's prompt over them.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::rig::Rig;
use crate::stories::{kernel_log, linux};

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

fn story(stage: &mut Stage<'_>) -> Result<()> {
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let mut text = config::host(false) + &guest.vm_section();
    let mut image_files = Vec::new();
    for name in [CRASHER, NEIGHBOUR] {
        text += &Vm::test_guest(name).text();
        image_files.push(name);
    }
    let mut image = stage.parts.image(&text).guest(&guest);
    for name in image_files {
        image = image.file(&config::on_volume(name), &stage.parts.test_guest(name));
    }
    let mut rig = stage.start(&image, Shape::default())?;
    let vm = guest.name.as_str();
    rig.play(&[vm, NEIGHBOUR], |rig| {
        rig.expect(&format!("vm {CRASHER}: stopped: triple fault"), 60)?;
        linux::to_marker(rig, vm).context("beside its neighbours")?;
        linux::answers(rig)?;
        let transcript = rig.machine.transcript();
        let both = kernel_log::check(rig.bed, &transcript).and_then(|()| {
            ensure!(
                transcript.contains("[echo] echo up"),
                "the neighbour was not heard"
            );
            Ok(())
        });
        stage.verdict("neighbours/linux-runs-beside-others", both);

        rig.open_prompt()?;
        stage.verdict("operator/help", rig.order_says("help", "reset").map(|_| ()));
        let vms = rig.order("vms")?;
        stage.verdict("operator/vms", lists(&vms, vm));
        let info = rig.order_says(&format!("info {vm}"), "last exit");
        stage.verdict(
            "operator/info",
            info.and_then(|page| {
                ensure!(page.contains("Running"), "not shown as running:\n{page}");
                Ok(())
            }),
        );
        stage.verdict(
            "operator/unknown-vm",
            rig.order_says("info nobody", "there is no VM").map(|_| ()),
        );

        // A neighbour crashes while Linux is being used.
        rig.type_line(&format!("start {CRASHER}"))?;
        rig.expect(&format!("{CRASHER} starts"), 10)?;
        rig.expect(&format!("vm {CRASHER}: stopped: triple fault"), 20)?;
        stage.pass("operator/start");
        stage.verdict(
            "operator/log",
            rig.order_says("log", &format!("vm {CRASHER}: stopped: triple fault"))
                .map(|_| ()),
        );
        rig.close_prompt()?;
        stage.verdict("neighbours/crash-is-not-noticed", linux::sum(rig));

        rig.open_prompt()?;
        rig.type_line(&format!("attach {NEIGHBOUR}"))?;
        rig.expect(&format!("console of vm {NEIGHBOUR}"), 10)?;
        rig.type_line("hello")?;
        let heard = rig.expect("heard hello", 20).map(|_| ());
        stage.verdict("operator/attach", heard);
        rig.open_prompt()?;

        stop_and_reset(stage, rig, vm)?;
        rig.open_prompt()?;
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        stage.verdict("operator/poweroff", rig.is_off());
        Ok(())
    })
}

/// Stops Linux, starts it, and resets it in the middle of its boot.
fn stop_and_reset(stage: &mut Stage<'_>, rig: &mut Rig, vm: &str) -> Result<()> {
    rig.type_line(&format!("kill {vm}"))?;
    rig.expect(&format!("vm {vm}: stopped: stopped by the operator"), 10)?;
    let vms = rig.order("vms")?;
    stage.verdict("operator/stop", has_state(&vms, vm, "stopped"));

    // Twice from the start: once because it was stopped, once out of the middle of its boot.
    rig.type_line(&format!("start {vm}"))?;
    rig.expect(&format!("{vm} starts"), 10)?;
    rig.expect(&format!("[{vm}] "), 60)?;
    rig.type_line(&format!("reset {vm}"))?;
    rig.expect(&format!("vm {vm}: stopped by the operator; restarts"), 20)?;
    rig.type_line(&format!("attach {vm}"))?;
    rig.expect(&format!("console of vm {vm}"), 10)?;
    let again = linux::to_marker(rig, vm).and_then(|_| linux::answers(rig));
    stage.verdict("operator/reset", again);
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
