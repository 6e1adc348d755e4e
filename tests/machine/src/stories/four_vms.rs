//! Four VMs at once on a machine with several CPUs, each another kind of kernel but for two Linux with four vCPUs each; the
//! operator works in all of them, kills one, starts it again, and does so many times.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::stories::{kernel_log, linux};
use crate::test_machine::{PANIC, TestMachine};

/// The two Linux, by the names of their VMs.
const LINUX: [&str; 2] = ["one", "two"];
const LINUX_CPUS: u32 = 4;
const LINUX_MEMORY: &str = "256M";
/// A Multiboot 1 kernel of ours: its VM and its program.
const MULTIBOOT: (&str, &str) = ("multiboot", "multiboot_echo");
/// A kernel of 16 bits of ours.
const REAL_MODE: (&str, &str) = ("real", "real_mode_echo");
/// What those two say first.
const ECHOES_UP: [&str; 2] = ["multiboot echo up", "real mode echo up"];

/// How often VMs are killed and started at the end.
const ROUNDS: usize = 50;
const WARM_UP_ROUNDS: usize = 6;
/// The longest way up of both Linux in QEMU, in seconds, on a busy machine.
const UP_S: u64 = 300;

/// Lines read before all that was said is looked at again.
const LINES_PER_LOOK: u32 = 50;

const ALL_RUN: &str = "four-vms/all-run";
const ATTACH: &str = "four-vms/the-operator-works-in-each";
const KILL: &str = "four-vms/one-is-killed-and-the-others-work-on";
const START: &str = "four-vms/the-killed-one-starts-again";
const LOGS: &str = "four-vms/kernel-logs";
const MEMORY: &str = "four-vms/no-memory-is-lost-in-50-rounds";

/// Boots them on this bed.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = [ALL_RUN, ATTACH, KILL, START, LOGS, MEMORY];
    Boot::new(bed, "four-vms", seconds, tests, story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    guest.vm.cpus = LINUX_CPUS;
    guest.vm.memory = LINUX_MEMORY.to_owned();
    let section = guest.vm_section();
    let named = format!("name = \"{}\"", guest.name);
    let mut text = config::host(false);
    for name in LINUX {
        text += &section.replace(&named, &format!("name = \"{name}\""));
    }
    let volume = |program: &str| config::on_volume(program);
    text += &Vm::new(MULTIBOOT.0, volume(MULTIBOOT.1), config::SMALL).text();
    text += &Vm::new(REAL_MODE.0, volume(REAL_MODE.1), config::SMALL)
        .line("entry = \"16\"")
        .line("load-address = \"64K\"")
        .text();
    let image = story_run
        .parts
        .image(&text)
        .guest(&guest)
        .file(
            &volume(MULTIBOOT.1),
            &story_run.parts.test_guest(MULTIBOOT.1),
        )
        .file(
            &volume(REAL_MODE.1),
            &story_run.parts.flat_test_guest(REAL_MODE.1)?,
        );
    let mut test_machine = story_run.start(&image, Shape::of(story_run.bed()))?;
    let vms = [LINUX[0], LINUX[1], MULTIBOOT.0, REAL_MODE.0];
    test_machine.play(&vms, |test_machine| play(story_run, test_machine))
}

fn play(story_run: &mut StoryRun<'_>, test_machine: &mut TestMachine) -> Result<()> {
    test_machine.expect("the hypervisor starts", 60)?;
    // Both Linux come up side by side, and everything is said among what the others say.
    let is_up = |transcript: &str| {
        transcript.matches(linux::MARKER).count() == LINUX.len()
            && ECHOES_UP.iter().all(|up| transcript.contains(up))
    };
    until(test_machine, UP_S, is_up).context("not all four came up")?;
    story_run.pass(ALL_RUN);

    test_machine.open_prompt()?;
    let mut talk = Talk::default();
    talk.with_all(test_machine)?;
    story_run.pass(ATTACH);

    let victim = LINUX[1];
    kill(test_machine, victim)?;
    for vm in [LINUX[0], MULTIBOOT.0, REAL_MODE.0] {
        talk.with(test_machine, vm)?;
    }
    story_run.pass(KILL);

    let markers = test_machine
        .machine
        .transcript()
        .matches(linux::MARKER)
        .count();
    start(test_machine, victim)?;
    let is_up_again = |text: &str| text.matches(linux::MARKER).count() > markers;
    until(test_machine, UP_S, is_up_again).context("the killed one does not come up again")?;
    talk.with_all(test_machine)?;
    story_run.pass(START);
    story_run.verdict(
        LOGS,
        kernel_log::check(test_machine.bed, &test_machine.machine.transcript()),
    );

    // The first rounds fill what is kept: the shell's history, the log's tail, the views.
    kill_and_start(test_machine, WARM_UP_ROUNDS)?;
    let before = Memory::of(test_machine)?;
    kill_and_start(test_machine, ROUNDS)?;
    let after = Memory::of(test_machine)?;
    ensure!(
        after.is_as(before),
        "before: {before:?}, after {ROUNDS} rounds: {after:?}"
    );
    for vm in [LINUX[0], MULTIBOOT.0, REAL_MODE.0] {
        talk.with(test_machine, vm)?;
    }
    story_run.pass(MEMORY);
    test_machine.type_line("poweroff")?;
    test_machine.expect("powering off", 10)?;
    test_machine.is_off()
}

/// What is said to the guests: something else each time, so that no answer is an old one.
#[derive(Default)]
struct Talk {
    said: u32,
}

impl Talk {
    fn with_all(&mut self, test_machine: &mut TestMachine) -> Result<()> {
        [LINUX[0], LINUX[1], MULTIBOOT.0, REAL_MODE.0]
            .iter()
            .try_for_each(|vm| self.with(test_machine, vm))
    }

    /// Attaches to a VM, works there and comes back to the operator's prompt.
    fn with(&mut self, test_machine: &mut TestMachine, vm: &str) -> Result<()> {
        self.said += 1;
        let said = self.said;
        test_machine.type_line(&format!("attach {vm}"))?;
        test_machine.expect(&format!("console of vm {vm}"), 20)?;
        let (line, answer) = match vm {
            "multiboot" => (format!("m{said}"), format!("multiboot heard m{said}\r")),
            "real" => (format!("r{said}"), format!("real mode heard r{said}\r")),
            _ => (
                format!("echo $((10000+{said}))"),
                format!("\n{}\r", 10000 + said),
            ),
        };
        test_machine.type_line(&line)?;
        test_machine
            .expect(&answer, 60)
            .with_context(|| format!("vm {vm} does not answer"))?;
        test_machine.open_prompt()
    }
}

fn kill(test_machine: &mut TestMachine, vm: &str) -> Result<()> {
    test_machine.type_line(&format!("kill {vm}"))?;
    test_machine
        .expect(&format!("vm {vm}: stopped: stopped by the operator"), 20)
        .map(|_| ())
}

fn start(test_machine: &mut TestMachine, vm: &str) -> Result<()> {
    test_machine.type_line(&format!("start {vm}"))?;
    test_machine
        .expect(&format!("vm {vm}: starts, "), 30)
        .map(|_| ())
}

/// Kills and starts VMs of each kind in turn, so many times in all; ends with each of them started.
fn kill_and_start(test_machine: &mut TestMachine, rounds: usize) -> Result<()> {
    let turns = [REAL_MODE.0, MULTIBOOT.0, LINUX[1]];
    for (round, vm) in (0..rounds).zip(turns.iter().cycle()) {
        kill(test_machine, vm)
            .and_then(|()| start(test_machine, vm))
            .with_context(|| format!("in round {round}"))?;
    }
    Ok(())
}

/// What the operator's `host` says of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    free: u64,
    heap_used: u64,
}

impl Memory {
    /// The smallest block of the hypervisor's heap.
    const BLOCK_BYTES: u64 = 16;

    fn of(test_machine: &mut TestMachine) -> Result<Self> {
        let page = test_machine.order("host")?;
        Self::parse(&page).with_context(|| format!("`host` says too little of memory:\n{page}"))
    }

    fn parse(page: &str) -> Option<Self> {
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("to the byte: "))?;
        let (free, rest) = line.split_once(" free, ")?;
        let (heap_used, _) = rest.split_once(" of the heap in use")?;
        Some(Self {
            free: free.parse().ok()?,
            heap_used: heap_used.parse().ok()?,
        })
    }

    /// Whether nothing was lost since. The console's own buffers on the heap come and go, but not by a block in each round.
    fn is_as(self, before: Self) -> bool {
        self.free == before.free
            && self.heap_used < before.heap_used + ROUNDS as u64 * Self::BLOCK_BYTES
    }
}

/// Reads on until what was said satisfies, as long as something may take that takes `qemu_s` seconds at most in QEMU.
fn until(test_machine: &mut TestMachine, qemu_s: u64, is_so: impl Fn(&str) -> bool) -> Result<()> {
    let until = Instant::now() + test_machine.bed.patience(qemu_s);
    loop {
        let transcript = test_machine.machine.transcript();
        if is_so(&transcript) {
            return Ok(());
        }
        if transcript.contains(PANIC) {
            bail!("{}", test_machine.last_words());
        }
        ensure!(
            Instant::now() < until && test_machine.machine.ended().is_none(),
            "{}",
            test_machine.machine.diagnosis()
        );
        for _ in 0..LINES_PER_LOOK {
            if test_machine
                .machine
                .next_line(Duration::from_millis(500))?
                .is_none()
            {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_to_the_byte() {
        let page = "4 CPUs\nto the byte: 478674944 free, 912576 of the heap in use\n";
        let memory = Memory::parse(page).expect("both numbers are there");
        assert_eq!((memory.free, memory.heap_used), (478_674_944, 912_576));
        assert!(Memory::parse("memory: 3 MiB free").is_none());
    }

    #[test]
    fn a_page_or_a_block_a_round_is_lost_memory() {
        let before = Memory {
            free: 1 << 20,
            heap_used: 5000,
        };
        let less = Memory {
            free: before.free - 4096,
            ..before
        };
        let more = Memory {
            heap_used: 5800,
            ..before
        };
        assert!(before.is_as(before) && !less.is_as(before) && !more.is_as(before));
    }
}
