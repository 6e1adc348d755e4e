//! VMs that come, go, pause and are copied while others run: a test guest that keeps state of every kind, and Linux.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::stories::{kernel_log, linux};
use crate::test_machine::TestMachine;

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

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let template = Vm::new(TEMPLATE, config::on_volume(NEIGHBOUR), "32M").line("template = true");
    let text = config::host(false)
        + &Vm::test_guest(GUEST).text()
        + &Vm::test_guest(NEIGHBOUR).text()
        + &template.text();
    let image = story_run
        .parts
        .image(&text)
        .file(
            &config::on_volume(GUEST),
            &story_run.parts.test_guest(GUEST),
        )
        .file(
            &config::on_volume(NEIGHBOUR),
            &story_run.parts.test_guest(NEIGHBOUR),
        );
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.play(&[GUEST, NEIGHBOUR, "copy"], |test_machine| {
        test_machine.expect("long life up", 60)?;
        is_well(test_machine, "first").context("before anything was done to it")?;

        test_machine.open_prompt()?;
        pause(test_machine, GUEST)?;
        test_machine.order_says(&format!("resume {GUEST}"), "goes on")?;
        attach(test_machine, GUEST)?;
        story_run.verdict(PAUSE, is_well(test_machine, "resumed"));

        test_machine.open_prompt()?;
        pause(test_machine, GUEST)?;
        copy(test_machine, GUEST, "copy")?;
        test_machine.order_says("resume copy", "goes on")?;
        attach(test_machine, "copy")?;
        story_run.verdict(COPY, is_well(test_machine, "copied"));

        // Three of the same kind: the original, its copy, and the copy's.
        test_machine.open_prompt()?;
        pause(test_machine, "copy")?;
        copy(test_machine, "copy", "again")?;
        for vm in [GUEST, "copy", "again"] {
            test_machine.order_says(&format!("resume {vm}"), "goes on")?;
        }
        let all = [GUEST, "copy", "again"].iter().try_for_each(|vm| {
            attach(test_machine, vm)?;
            quits_well(test_machine).with_context(|| format!("vm {vm}"))?;
            test_machine.open_prompt()
        });
        story_run.verdict(TWICE, all);
        for vm in ["copy", "again"] {
            test_machine.order_says(&format!("destroy {vm}"), "is gone")?;
        }
        story_run.verdict(ROUNDS_TEST, come_and_go(test_machine));
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        test_machine.is_off()
    })
}

fn linux_story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    // There are two of it.
    guest.vm.memory = "192M".to_owned();
    guest.vm.cpus = CPUS;
    let text = config::host(false) + &guest.vm_section();
    let image = story_run.parts.image(&text).guest(&guest);
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm, "copy"], |test_machine| {
        linux::to_marker(test_machine, vm)?;
        linux::answers(test_machine)?;
        // Each CPU counts in the background, several times a second, and goes on counting wherever it is.
        test_machine
            .type_line("count() { while :; do n=$((n+1)); echo $n >/tmp/n$1; sleep 0.1; done; }")?;
        for cpu in 0..CPUS {
            linux::answers(test_machine)?;
            test_machine.type_line(&format!("count {cpu} & taskset -p {} $!", 1 << cpu))?;
        }
        linux::answers(test_machine)?;
        test_machine.open_prompt()?;
        pause(test_machine, vm)?;
        copy(test_machine, vm, "copy")?;
        test_machine.order_says(&format!("kill {vm}"), "stops")?;
        test_machine.order_says("resume copy", "goes on")?;
        attach(test_machine, "copy")?;
        linux::sum(test_machine).context("in the copy")?;
        let first = counted(test_machine)?;
        test_machine.type_line("sleep 2")?;
        let later = counted(test_machine)?;
        let log = kernel_log::check(test_machine.bed, &test_machine.machine.transcript());
        story_run.verdict(
            LINUX,
            log.and_then(|()| {
                ensure!(
                    first.iter().zip(&later).all(|(first, later)| first < later),
                    "counted to {first:?} and then to {later:?}"
                );
                Ok(())
            }),
        );
        test_machine.open_prompt()?;
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        test_machine.is_off()
    })
}

/// How far each CPU of Linux has counted.
fn counted(test_machine: &mut TestMachine) -> Result<Vec<u64>> {
    (0..CPUS)
        .map(|cpu| {
            test_machine.type_line(&format!("echo at-$(cat /tmp/n{cpu})-now"))?;
            // The command itself is echoed; its answer has a number there.
            loop {
                let said = test_machine.expect("-now", 60)?;
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
fn is_well(test_machine: &mut TestMachine, when: &str) -> Result<()> {
    test_machine.type_line(when)?;
    test_machine
        .expect(&format!("{when}: {ALL_WELL}"), 60)
        .map(|_| ())
}

fn quits_well(test_machine: &mut TestMachine) -> Result<()> {
    is_well(test_machine, "quit")?;
    test_machine.expect(&format!("verdict {GUEST}: pass"), 30)?;
    test_machine
        .expect("ended by the guest's exit port, code 0", 30)
        .map(|_| ())
}

fn attach(test_machine: &mut TestMachine, vm: &str) -> Result<()> {
    test_machine.type_line(&format!("attach {vm}"))?;
    test_machine
        .expect(&format!("console of vm {vm}"), 20)
        .map(|_| ())
}

fn pause(test_machine: &mut TestMachine, vm: &str) -> Result<()> {
    test_machine.order_says(&format!("pause {vm}"), "pauses")?;
    has_state(test_machine, vm, "paused")
}

fn copy(test_machine: &mut TestMachine, vm: &str, new: &str) -> Result<()> {
    test_machine.type_line(&format!("copy {vm} {new}"))?;
    test_machine.expect(&format!("vm {new}: a copy of {vm}, paused"), 60)?;
    has_state(test_machine, new, "paused")
}

fn has_state(test_machine: &mut TestMachine, vm: &str, state: &str) -> Result<()> {
    for _ in 0..20 {
        let vms = test_machine.order("vms")?;
        let line = vms.lines().find(|line| line.starts_with(&format!("{vm} ")));
        if line.is_some_and(|line| line.contains(state)) {
            return Ok(());
        }
    }
    anyhow::bail!("vm {vm} is not {state}")
}

/// Creates, starts, kills and destroys a VM again and again; the hypervisor holds as much memory as after the first time.
fn come_and_go(test_machine: &mut TestMachine) -> Result<()> {
    let mut first = None;
    for round in 0..ROUNDS {
        let name = format!("vm{round}");
        test_machine.order_says(&format!("create {TEMPLATE} {name}"), "is there")?;
        test_machine.type_line(&format!("start {name}"))?;
        test_machine.expect(&format!("vm {name}: starts, "), 30)?;
        test_machine.type_line(&format!("kill {name}"))?;
        test_machine.expect(&format!("vm {name}: stopped: stopped by the operator"), 20)?;
        has_state(test_machine, &name, "stopped")?;
        test_machine.order_says(&format!("destroy {name}"), "is gone")?;
        if round == 0 {
            first = Some(memory_line(test_machine)?);
        }
    }
    let last = Some(memory_line(test_machine)?);
    ensure!(
        first == last,
        "after one round: {first:?}\nafter {ROUNDS}: {last:?}"
    );
    Ok(())
}

fn memory_line(test_machine: &mut TestMachine) -> Result<String> {
    let page = test_machine.order("host")?;
    let line = page.lines().find(|line| line.starts_with("memory:"));
    line.map(str::to_owned)
        .with_context(|| format!("`host` says nothing of memory:\n{page}"))
}
