//! VMs that come, go, pause and are copied while others run: a test guest that keeps state of every kind, and Linux.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::rig::Rig;
use crate::stories::{kernel_log, linux};

/// The guest that keeps state, and what it says when all of it is right.
const GUEST: &str = "long_life";
const ALL_WELL: &str = "all well";
/// Runs beside it all the time.
const NEIGHBOUR: &str = "echo";
/// What VMs are created from and destroyed again.
const TEMPLATE: &str = "template";

const PAUSE: &str = "save/paused-and-resumed";
const COPY: &str = "save/goes-on-in-a-copy";
const TWICE: &str = "save/a-copy-of-a-copy-beside-its-original";
const ROUNDS_TEST: &str = "save/no-memory-is-lost-in-50-creations";
const LINUX: &str = "save/linux-goes-on-in-a-copy";

/// vCPUs of Linux.
const CPUS: u32 = 2;

/// How often a VM is created and destroyed.
const ROUNDS: usize = 50;

/// Boots the test guest on this bed.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(
        bed,
        "save",
        seconds,
        [PAUSE, COPY, TWICE, ROUNDS_TEST],
        story,
    )
}

/// Boots Linux on this bed.
pub fn linux_boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "save-linux", seconds, [LINUX], linux_story)
}

fn story(stage: &mut Stage<'_>) -> Result<()> {
    let template = Vm::new(TEMPLATE, config::on_volume(NEIGHBOUR), "32M").line("template = true");
    let text = config::host(false)
        + &Vm::test_guest(GUEST).text()
        + &Vm::test_guest(NEIGHBOUR).text()
        + &template.text();
    let image = stage
        .parts
        .image(&text)
        .file(&config::on_volume(GUEST), &stage.parts.test_guest(GUEST))
        .file(
            &config::on_volume(NEIGHBOUR),
            &stage.parts.test_guest(NEIGHBOUR),
        );
    let mut rig = stage.start(&image, Shape::default())?;
    rig.play(&[GUEST, NEIGHBOUR, "copy"], |rig| {
        rig.expect("long life up", 60)?;
        is_well(rig, "first").context("before anything was done to it")?;

        rig.open_prompt()?;
        pause(rig, GUEST)?;
        rig.order_says(&format!("resume {GUEST}"), "goes on")?;
        attach(rig, GUEST)?;
        stage.verdict(PAUSE, is_well(rig, "resumed"));

        rig.open_prompt()?;
        pause(rig, GUEST)?;
        copy(rig, GUEST, "copy")?;
        rig.order_says("resume copy", "goes on")?;
        attach(rig, "copy")?;
        stage.verdict(COPY, is_well(rig, "copied"));

        // Three of the same kind: the original, its copy, and the copy's.
        rig.open_prompt()?;
        pause(rig, "copy")?;
        copy(rig, "copy", "again")?;
        for vm in [GUEST, "copy", "again"] {
            rig.order_says(&format!("resume {vm}"), "goes on")?;
        }
        let all = [GUEST, "copy", "again"].iter().try_for_each(|vm| {
            attach(rig, vm)?;
            quits_well(rig).with_context(|| format!("vm {vm}"))?;
            rig.open_prompt()
        });
        stage.verdict(TWICE, all);
        for vm in ["copy", "again"] {
            rig.order_says(&format!("destroy {vm}"), "is gone")?;
        }
        stage.verdict(ROUNDS_TEST, come_and_go(rig));
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        rig.is_off()
    })
}

fn linux_story(stage: &mut Stage<'_>) -> Result<()> {
    let mut guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    // There are two of it.
    guest.vm.memory = "192M".to_owned();
    guest.vm.cpus = CPUS;
    let text = config::host(false) + &guest.vm_section();
    let image = stage.parts.image(&text).guest(&guest);
    let mut rig = stage.start(&image, Shape::default())?;
    let vm = guest.name.as_str();
    rig.play(&[vm, "copy"], |rig| {
        linux::to_marker(rig, vm)?;
        linux::answers(rig)?;
        // Each CPU counts in the background, several times a second, and goes on counting wherever it is.
        rig.type_line("count() { while :; do n=$((n+1)); echo $n >/tmp/n$1; sleep 0.1; done; }")?;
        for cpu in 0..CPUS {
            linux::answers(rig)?;
            rig.type_line(&format!("count {cpu} & taskset -p {} $!", 1 << cpu))?;
        }
        linux::answers(rig)?;
        rig.open_prompt()?;
        pause(rig, vm)?;
        copy(rig, vm, "copy")?;
        rig.order_says(&format!("kill {vm}"), "stops")?;
        rig.order_says("resume copy", "goes on")?;
        attach(rig, "copy")?;
        linux::sum(rig).context("in the copy")?;
        let first = counted(rig)?;
        rig.type_line("sleep 2")?;
        let later = counted(rig)?;
        let log = kernel_log::check(rig.bed, &rig.machine.transcript());
        stage.verdict(
            LINUX,
            log.and_then(|()| {
                ensure!(
                    first.iter().zip(&later).all(|(first, later)| first < later),
                    "counted to {first:?} and then to {later:?}"
                );
                Ok(())
            }),
        );
        rig.open_prompt()?;
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        rig.is_off()
    })
}

/// How far each CPU of Linux has counted.
fn counted(rig: &mut Rig) -> Result<Vec<u64>> {
    (0..CPUS)
        .map(|cpu| {
            rig.type_line(&format!("echo at-$(cat /tmp/n{cpu})-now"))?;
            // The command itself is echoed; its answer has a number there.
            loop {
                let said = rig.expect("-now", 60)?;
                let number = said
                    .rsplit("at-")
                    .next()
                    .and_then(|rest| rest.strip_suffix("-now"))
                    .and_then(|number| number.parse().ok());
                if let Some(number) = number {
                    return Ok(number);
                }
            }
        })
        .collect()
}

/// The test guest looks after itself; `when` is a word of its own, since old answers are shown again.
fn is_well(rig: &mut Rig, when: &str) -> Result<()> {
    rig.type_line(when)?;
    rig.expect(&format!("{when}: {ALL_WELL}"), 60).map(|_| ())
}

fn quits_well(rig: &mut Rig) -> Result<()> {
    is_well(rig, "quit")?;
    rig.expect(&format!("verdict {GUEST}: pass"), 30)?;
    rig.expect("ended by the guest's exit port, code 0", 30)
        .map(|_| ())
}

fn attach(rig: &mut Rig, vm: &str) -> Result<()> {
    rig.type_line(&format!("attach {vm}"))?;
    rig.expect(&format!("console of vm {vm}"), 20).map(|_| ())
}

fn pause(rig: &mut Rig, vm: &str) -> Result<()> {
    rig.order_says(&format!("pause {vm}"), "pauses")?;
    has_state(rig, vm, "paused")
}

fn copy(rig: &mut Rig, vm: &str, new: &str) -> Result<()> {
    rig.type_line(&format!("copy {vm} {new}"))?;
    rig.expect(&format!("vm {new}: a copy of {vm}, paused"), 60)?;
    has_state(rig, new, "paused")
}

fn has_state(rig: &mut Rig, vm: &str, state: &str) -> Result<()> {
    for _ in 0..20 {
        let vms = rig.order("vms")?;
        let line = vms.lines().find(|line| line.starts_with(&format!("{vm} ")));
        if line.is_some_and(|line| line.contains(state)) {
            return Ok(());
        }
    }
    anyhow::bail!("vm {vm} is not {state}")
}

/// Creates, starts, kills and destroys a VM again and again; the hypervisor holds as much memory as after the first time.
fn come_and_go(rig: &mut Rig) -> Result<()> {
    let mut first = None;
    for round in 0..ROUNDS {
        let name = format!("vm{round}");
        rig.order_says(&format!("create {TEMPLATE} {name}"), "is there")?;
        rig.type_line(&format!("start {name}"))?;
        rig.expect(&format!("vm {name}: starts, "), 30)?;
        rig.type_line(&format!("kill {name}"))?;
        rig.expect(&format!("vm {name}: stopped: stopped by the operator"), 20)?;
        has_state(rig, &name, "stopped")?;
        rig.order_says(&format!("destroy {name}"), "is gone")?;
        if round == 0 {
            first = Some(memory_line(rig)?);
        }
    }
    let last = Some(memory_line(rig)?);
    ensure!(
        first == last,
        "after one round: {first:?}\nafter {ROUNDS}: {last:?}"
    );
    Ok(())
}

fn memory_line(rig: &mut Rig) -> Result<String> {
    let page = rig.order("host")?;
    let line = page.lines().find(|line| line.starts_with("memory:"));
    line.map(str::to_owned)
        .with_context(|| format!("`host` says nothing of memory:\n{page}"))
}
