//! A machine with four CPUs.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::stories::{kernel_log, linux};

/// Guests that keep a second CPU busy.
const BUSY: &str = "echo";

/// Boots with four CPUs: a Linux with two vCPUs and a neighbour on another CPU.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = ["smp/all-cpus-started", "smp/linux-with-two-vcpus"];
    Boot::new(bed, "smp", seconds, tests, story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let section = guest.vm_section().replace("cpus = 1", "cpus = 2");
    let text = config::host(false) + &section + &Vm::test_guest(BUSY).text();
    let image = story_run
        .parts
        .image(&text)
        .guest(&guest)
        .file(&config::on_volume(BUSY), &story_run.parts.test_guest(BUSY));
    let shape = Shape {
        cpus: 4,
        ..Shape::default()
    };
    let mut test_machine = story_run.start(&image, shape)?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm, BUSY], |test_machine| {
        test_machine.expect(&format!("vm {vm}: starts, 2 vCPUs"), 60)?;
        test_machine.open_prompt()?;
        let page = test_machine.order("host")?;
        let has_all = page.contains("4 CPUs at");
        story_run.verdict(
            "smp/all-cpus-started",
            has_all
                .then_some(())
                .with_context(|| format!("`host` should say `4 CPUs at` and said:\n{page}")),
        );
        test_machine.close_prompt()?;
        let log = linux::to_marker(test_machine, vm)?;
        let line = log.lines().last().unwrap_or_default();
        ensure!(line.contains("cpus=2"), "not two CPUs: {line}");
        linux::answers(test_machine)?;
        story_run.verdict(
            "smp/linux-with-two-vcpus",
            kernel_log::check(test_machine.bed, &test_machine.machine.transcript()),
        );
        Ok(())
    })
}
