//! Instructions per exit: the test guest `bench` reads the TSC around exiting instructions, where the TSC counts instructions.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::bed::{Config, Machine, qemu};
use xtask::image::Spec;
use xtask::procs::Scratch;
use xtask::ui::Step;

use super::plugin::{self, Begin};
use crate::beds::{Bed, Shape};
use crate::config::{self, Vm};
use crate::parts::Parts;

const GUEST: &str = "bench";
/// What the guest measures, in the order of the table.
const NAMES: [&str; 6] = [
    "cpuid",
    "pio_out",
    "uart_in",
    "ioapic_read",
    "msr_write",
    "hlt_wake",
];

/// Marks of the guest around its sleeps, and how many there are in between.
const SLEEPS_BEGIN: u32 = 0xca15_0001;
const SLEEPS_END: u32 = 0xca15_0002;
const SLEEPS: u64 = 100;

/// Instructions for each kind of exit.
pub(super) type Exits = Vec<(String, u64)>;

/// In QEMU with a clock that counts instructions: AMD-V.
///
/// A clock that counts instructions leaps over sleep, and a guest cannot tell what was done before the leap. So the wake-up is
/// counted from outside, between two marks of the guest: everything from setting the timer to the end of its handler.
pub(super) fn in_qemu(parts: &Parts) -> Result<Exits> {
    let step = Step::start("exits on AMD-V (QEMU, counting)");
    let (scratch, image) = image(parts)?;
    let result = scratch.path().join("wake-ups");
    let plugin = plugin::build()?;
    let options = qemu::Options {
        is_counting: true,
        extra: plugin::arguments(&plugin, &result, Begin::Mark(SLEEPS_BEGIN), SLEEPS_END),
        ..qemu::Options::default()
    };
    let machine = qemu::start(&Config::new("bench-exits-svm", image), &options)?;
    let mut exits = listen(machine, Duration::from_secs(300))?;
    let counts = plugin::read(&result)?;
    if let Some((_, wake)) = exits.iter_mut().find(|(name, _)| name == "hlt_wake") {
        *wake = counts.total / SLEEPS;
    }
    step.done("");
    Ok(exits)
}

/// In Bochs, whose TSC counts instructions anyway.
pub(super) fn in_bochs(parts: &Parts, bed: Bed) -> Result<Exits> {
    let step = Step::start(format!("exits on VT-x ({})", bed.name));
    let (scratch, image) = image(parts)?;
    let machine = bed.start("bench-exits-vmx", &image, Shape::default())?;
    let exits = listen(machine, Duration::from_secs(300))?;
    drop(scratch);
    step.done("");
    Ok(exits)
}

fn image(parts: &Parts) -> Result<(Scratch, std::path::PathBuf)> {
    let text = config::host(true) + &Vm::test_guest(GUEST).text();
    let spec: Spec = parts
        .image(&text)
        .file(&config::on_volume(GUEST), &parts.test_guest(GUEST));
    let scratch = Scratch::new("bench")?;
    let path = scratch.path().join("caisson.img");
    xtask::image::build(&spec, &path)?;
    Ok((scratch, path))
}

fn listen(mut machine: Machine, timeout: Duration) -> Result<Exits> {
    machine.expect("bench cpuid=", timeout)?;
    let line = machine.expect("\n", Duration::from_secs(10))?;
    read(&format!("bench cpuid={line}"))
}

/// Reads `bench cpuid=1 pio_out=2 …`.
fn read(line: &str) -> Result<Exits> {
    let words: Vec<(&str, u64)> = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
        .collect();
    let exits: Exits = NAMES
        .iter()
        .map(|name| {
            let number = words.iter().find(|(known, _)| known == name);
            number
                .map(|(name, number)| ((*name).to_owned(), *number))
                .with_context(|| format!("no `{name}` in: {line}"))
        })
        .collect::<Result<_>>()?;
    ensure!(
        exits.iter().all(|(_, number)| *number > 0),
        "an exit that costs nothing: {line}"
    );
    Ok(exits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_six_must_be_there() {
        let line = "bench cpuid=301 pio_out=2 uart_in=3 ioapic_read=4 msr_write=5 hlt_wake=6\r\n";
        let exits = read(line).unwrap();
        assert_eq!(exits[0], ("cpuid".to_owned(), 301));
        assert_eq!(exits.len(), 6);
        assert!(read("bench cpuid=301 pio_out=2").is_err());
    }
}
