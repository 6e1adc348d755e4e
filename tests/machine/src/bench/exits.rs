//! Instructions per exit: test guests do what exits, and they or the emulator count.
//!
//! | where | who counts | what |
//! |---|---|---|
//! | QEMU, a clock that counts instructions, one CPU | the guest by its TSC, or the plugin | one vCPU, then up to eight busy ones that share the CPU |
//! | QEMU, four CPUs that take turns on one thread | the plugin | interrupts between vCPUs on different CPUs; locked instructions |
//! | Bochs, one CPU and two | the guest by its TSC, which counts instructions there | the same on VT-x |

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::bed::{Config, Machine, qemu};
use xtask::image::Spec;
use xtask::procs::Scratch;
use xtask::ui::Step;

use super::phases::{self, Phases};
use super::plugin;
use crate::beds::{Bed, Shape};
use crate::config::{self, Vm};
use crate::parts::Parts;

/// The guest that measures on one CPU, and the one for several.
const GUEST: &str = "bench";
const SMP_GUEST: &str = "bench_smp";

/// Rounds of the guests' loops, as their sources have them.
const ROUNDS: u64 = 1000;
const HLT_ROUNDS: u64 = 100;
const STRING_BYTES: u64 = 50 * 4096;
const SCALE_ROUNDS: u64 = 20_000;
const TRIPS: u64 = 500;
const SMP_CPUS: u32 = 4;

const HLT_WAKE: u32 = 6;

/// A phase of a guest: its number, and the name of what it measures.
pub(super) struct Kind {
    pub(super) phase: u32,
    pub(super) name: &'static str,
    /// How often the thing measured is done in it, by one vCPU.
    pub(super) rounds: u64,
}

const fn kind(phase: u32, name: &'static str, rounds: u64) -> Kind {
    Kind {
        phase,
        name,
        rounds,
    }
}

/// What one vCPU measures, in the order of the table.
pub(super) const KINDS: [Kind; 11] = [
    kind(1, "cpuid", ROUNDS),
    kind(2, "pio_out", ROUNDS),
    kind(3, "uart_in", ROUNDS),
    kind(4, "ioapic_read", ROUNDS),
    kind(5, "msr_write", ROUNDS),
    kind(HLT_WAKE, "hlt_wake", HLT_ROUNDS),
    kind(7, "self_ipi", ROUNDS),
    kind(11, "xapic_self_ipi", ROUNDS),
    kind(8, "tsc_deadline", ROUNDS),
    kind(9, "rep_outs_per_byte", STRING_BYTES),
    kind(10, "rep_ins_per_byte", STRING_BYTES),
];
/// What takes two vCPUs on two CPUs; a round of the second has two sleepers.
pub(super) const PAIR_KINDS: [Kind; 2] = [
    kind(12, "ipi_round_trip", TRIPS),
    kind(13, "hlt_wake_ipi", 2 * TRIPS),
];
/// CPUID with so many busy vCPUs: phase and number.
const SCALES: [(u32, u64); 4] = [(21, 1), (22, 2), (24, 4), (28, 8)];

/// Instructions for each kind of exit.
pub(super) type Exits = Vec<(&'static str, f64)>;

/// What AMD-V gave.
pub(super) struct Svm {
    pub(super) exits: Exits,
    /// A CPUID exit by the number of busy vCPUs.
    pub(super) scaling: Vec<(u64, f64)>,
    /// The phases with one vCPU, and those with four on four CPUs.
    pub(super) alone: Phases,
    pub(super) together: Phases,
}

/// In QEMU: AMD-V.
///
/// The exits of the first page are measured by the guest's TSC. A guest cannot tell what was done while it slept, nor what of the
/// time between sending an interrupt and its end is its own: there the plugin counts.
pub(super) fn in_qemu(parts: &Parts) -> Result<Svm> {
    let step = Step::start("exits on AMD-V (QEMU, counting)");
    let (line, alone) = counted(parts, GUEST, 1, 1)?;
    let (_, crowd) = counted(parts, GUEST, 8, 1)?;
    step.done("");
    let step = Step::start("exits on AMD-V with four CPUs (QEMU, taking turns)");
    let (_, together) = counted(parts, SMP_GUEST, SMP_CPUS, SMP_CPUS)?;
    step.done("");
    let mut exits = Exits::new();
    for kind in KINDS {
        let phase = alone
            .get(&kind.phase)
            .with_context(|| format!("the guest did not measure {}", kind.name))?;
        let value = match kind.name {
            // From arming the timer to the end of its handler, whoever executes it.
            "hlt_wake" => phase.total as f64 / kind.rounds as f64,
            "cpuid" | "pio_out" | "uart_in" | "ioapic_read" | "msr_write" => {
                told(&line, kind.name)?
            }
            _ => phase.host() as f64 / kind.rounds as f64,
        };
        exits.push((kind.name, value));
    }
    // The same wake-up where seven more vCPUs sleep on that CPU.
    if let Some(phase) = crowd.get(&HLT_WAKE) {
        exits.push(("hlt_wake_of_eight", phase.total as f64 / HLT_ROUNDS as f64));
    }
    for kind in PAIR_KINDS {
        let phase = together
            .get(&kind.phase)
            .with_context(|| format!("the guest did not measure {}", kind.name))?;
        exits.push((kind.name, phase.host() as f64 / kind.rounds as f64));
    }
    let scaling = SCALES
        .iter()
        .map(|(number, busy)| {
            let phase = crowd
                .get(number)
                .with_context(|| format!("no phase with {busy} busy vCPUs"))?;
            Ok((*busy, phase.host() as f64 / (busy * SCALE_ROUNDS) as f64))
        })
        .collect::<Result<_>>()?;
    Ok(Svm {
        exits,
        scaling,
        alone,
        together,
    })
}

/// Runs a guest in QEMU under the plugin; returns the line with its results, and the phases.
fn counted(parts: &Parts, guest: &str, vcpus: u32, cpus: u32) -> Result<(String, Phases)> {
    let (scratch, image) = image(parts, guest, vcpus)?;
    let result = xtask::paths::target(&format!("bench/{guest}-{vcpus}.phases"))?;
    let plugin = plugin::build("phases")?;
    let options = qemu::Options {
        is_counting: cpus == 1,
        is_single_threaded: true,
        // Drawing is a chore of the boot CPU, and not counted among exits.
        has_display: false,
        extra: plugin::phase_arguments(&plugin, &result),
        ..qemu::Options::default()
    };
    let config = Config::new(format!("bench-{guest}-{vcpus}-svm"), image).cpus(cpus);
    let mut machine = qemu::start(&config, &options)?;
    let line = listen(&mut machine, Duration::from_secs(300))?;
    // It switches itself off when the guest has ended.
    ensure!(
        machine.wait(Duration::from_secs(120)).is_some(),
        "it did not end\n{}",
        machine.diagnosis()
    );
    drop(scratch);
    Ok((line, phases::read(&result)?))
}

/// In Bochs, whose TSC counts instructions anyway: VT-x.
pub(super) fn in_bochs(parts: &Parts, alone: Bed, pair: Bed) -> Result<Exits> {
    let mut exits = Exits::new();
    for (bed, guest, vcpus, kinds) in [
        (alone, GUEST, 1, &KINDS[..]),
        (pair, SMP_GUEST, 2, &PAIR_KINDS[..]),
    ] {
        let step = Step::start(format!("exits on VT-x ({})", bed.name));
        let (scratch, image) = image(parts, guest, vcpus)?;
        let name = format!("bench-{guest}-vmx");
        let mut machine = bed.start(&name, &image, Shape::of(bed))?;
        let line = listen(&mut machine, Duration::from_secs(600))?;
        drop((machine, scratch));
        for kind in kinds {
            exits.push((kind.name, told(&line, kind.name)?));
        }
        step.done("");
    }
    Ok(exits)
}

fn image(parts: &Parts, guest: &str, vcpus: u32) -> Result<(Scratch, PathBuf)> {
    let vm = Vm::test_guest(guest).line(&format!("cpus = {vcpus}"));
    let text = config::host(true) + &vm.text();
    let spec: Spec = parts
        .image(&text)
        .file(&config::on_volume(guest), &parts.test_guest(guest));
    let scratch = Scratch::new("bench")?;
    let path = scratch.path().join("caisson.img");
    xtask::image::build(&spec, &path)?;
    Ok((scratch, path))
}

/// Waits for `bench NAME=NUMBER …`.
fn listen(machine: &mut Machine, timeout: Duration) -> Result<String> {
    machine.expect("bench: results ", timeout)?;
    machine.expect("\n", Duration::from_secs(60))
}

/// Reads one of `cpuid=1 pio_out=2 …`; what is said of strings is for 4 KiB.
fn told(line: &str, name: &str) -> Result<f64> {
    let number: u64 = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .find(|(known, _)| *known == name)
        .and_then(|(_, number)| number.parse().ok())
        .with_context(|| format!("no `{name}` in: {line}"))?;
    ensure!(number > 0, "{name} costs nothing: {line}");
    let is_string = name.ends_with("_per_byte");
    Ok(number as f64 / if is_string { 4096.0 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_words_are_read() {
        let line = "cpuid=301 rep_ins_per_byte=8192 hlt_wake=0\r\n";
        assert_eq!(told(line, "cpuid").unwrap(), 301.0);
        assert_eq!(told(line, "rep_ins_per_byte").unwrap(), 2.0);
        assert!(told(line, "hlt_wake").is_err());
        assert!(told(line, "pio_out").is_err());
    }
}
