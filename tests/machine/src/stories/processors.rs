//! A machine with four CPUs.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::stories::{kernel_log, linux};

/// Guests that keep a second CPU busy.
const BUSY: &str = "echo";

/// Boots with four CPUs: a Linux with two vCPUs and a neighbour on another CPU.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = ["smp/all-cpus-started", "smp/linux-with-two-vcpus"];
    Boot::new(bed, "smp", seconds, tests, story)
}

fn story(stage: &mut Stage<'_>) -> Result<()> {
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let section = guest.vm_section().replace("cpus = 1", "cpus = 2");
    let text = config::host(false) + &section + &Vm::test_guest(BUSY).text();
    let image = stage
        .parts
        .image(&text)
        .guest(&guest)
        .file(&config::on_volume(BUSY), &stage.parts.test_guest(BUSY));
    let shape = Shape {
        cpus: 4,
        ..Shape::default()
    };
    let mut rig = stage.start(&image, shape)?;
    let vm = guest.name.as_str();
    rig.play(&[vm, BUSY], |rig| {
        rig.expect(&format!("vm {vm}: starts, 2 vCPUs"), 60)?;
        rig.open_prompt()?;
        let page = rig.order("host")?;
        let has_all = page.contains("4 CPUs at");
        stage.verdict(
            "smp/all-cpus-started",
            has_all
                .then_some(())
                .with_context(|| format!("`host` should say `4 CPUs at` and said:\n{page}")),
        );
        rig.close_prompt()?;
        let log = linux::to_marker(rig, vm)?;
        let line = log.lines().last().unwrap_or_default();
        ensure!(line.contains("cpus=2"), "not two CPUs: {line}");
        linux::answers(rig)?;
        stage.verdict(
            "smp/linux-with-two-vcpus",
            kernel_log::check(rig.bed, &rig.machine.transcript()),
        );
        Ok(())
    })
}
