//! All test guests in one boot, each in a VM of its own, all at once; those with several vCPUs in a second one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::beds::{self, Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::forms::{SPECIALS, Special};
use crate::lines;
use crate::parts::{self, TestGuest};
use crate::test_machine::{ALL_ENDED, PANIC, TestMachine};

/// The test of the boot itself, behind the boot's name.
const END: &str = "all-end-and-the-machine-powers-off";
/// Where there are several CPUs: all of them were started.
const ALL_CPUS: &str = "all-cpus-run";
/// The boot of the guests with several vCPUs.
const MANY: &str = "many-cpu-guests";
/// Keeps a VM away from CPU 0 where QEMU's CPUs run at once: QEMU has FXRSTOR and XRSTOR on *any* CPU rewrite flags of CPU 0 without a lock
/// (`hflags2`, for IGNNE#), among them whether nested paging is on. Where vector state is switched often, CPU 0 then now and then is in host
/// mode with nested paging, or in guest mode without, and its next page walk ends in a triple fault. All versions of QEMU do so.
const NOT_CPU_0: &str = "cpu-affinity = [1, 2, 3]";
/// Never starts; has the console, so that the others' lines come whole.
const CONSOLE: &str = "console";
/// These are no tests by themselves.
const HELPERS: [&str; 12] = [
    "answer",
    "bench",
    "bench_smp",
    "echo",
    "idle",
    "long_life",
    "multiboot_echo",
    "power_button",
    "real_mode_echo",
    "screen",
    "storm",
    "work",
];
/// These end by design in another way than by their exit port: this is in the line that says why.
const OTHER_ENDS: [(&str, &str); 3] = [
    ("delivery_to_nowhere", "stopped: event delivery touches"),
    ("power_off", "stopped: powered off by the guest"),
    ("triple_fault", "stopped: triple fault"),
];
/// What ends with code 0.
const GOOD_END: &str = "stopped: ended by the guest's exit port, code 0";

/// Bochs' AMD-V ends the emulator at this guest's triple fault, although shutdown is intercepted; QEMU's passes it on.
const NOT_ON_TRINITY: &str = "triple_fault";

/// The module of some of them: an ELF file.
const MODULE: &str = "idle";

/// Boots those with one vCPU on this bed.
///
/// # Errors
/// The folder of test guests cannot be read.
pub fn boot(bed: Bed, seconds: u32) -> Result<Boot> {
    boot_those(bed, "guests", seconds, |guest| guest.cpus == 1)
}

/// Boots those with several vCPUs on this bed.
///
/// # Errors
/// The folder of test guests cannot be read.
pub fn smp_boot(bed: Bed, seconds: u32) -> Result<Boot> {
    boot_those(bed, MANY, seconds, |guest| guest.cpus > 1)
}

fn boot_those(
    bed: Bed,
    name: &'static str,
    seconds: u32,
    is_meant: impl Fn(&TestGuest) -> bool,
) -> Result<Boot> {
    let guests: BTreeMap<String, u32> = parts::test_guests()?
        .into_iter()
        .filter(|guest| is_meant(guest))
        .flat_map(|guest| {
            names_of(&guest.name)
                .into_iter()
                .map(move |name| (name, guest.cpus))
        })
        .filter(|(name, _)| !HELPERS.contains(&name.as_str()))
        .filter(|(name, _)| bed != beds::TRINITY || name != NOT_ON_TRINITY)
        .filter(|(name, _)| bed != beds::LYNNFIELD || !is_unpaged(name))
        .collect();
    let own = |test: &str| format!("{name}/{test}");
    let tests: Vec<String> = guests
        .keys()
        .map(|name| test_of(name))
        .chain((bed.cpus > 1).then(|| own(ALL_CPUS)))
        .chain([own(END)])
        .collect();
    Ok(Boot::new(bed, name, seconds, tests, move |story_run| {
        story(story_run, name, &guests)
    }))
}

/// The tests there are of a program: itself, or the ways in which it is started.
fn names_of(program: &str) -> Vec<String> {
    let ways = SPECIALS.iter().filter(|special| special.program == program);
    let names: Vec<String> = ways.map(|special| special.name.to_owned()).collect();
    if names.is_empty() {
        vec![program.to_owned()]
    } else {
        names
    }
}

/// Whether it starts without paging, which VT-x without unrestricted guest refuses in words.
fn is_unpaged(guest: &str) -> bool {
    guest.starts_with("boot_") && !guest.ends_with("64")
}

/// What a test needs beyond its program.
fn special(guest: &str) -> Option<&'static Special> {
    SPECIALS.iter().find(|special| special.name == guest)
}

fn test_of(guest: &str) -> String {
    format!("guest/{guest}")
}

fn story(story_run: &mut StoryRun<'_>, name: &str, cpus: &BTreeMap<String, u32>) -> Result<()> {
    let guests: Vec<String> = story_run
        .open()
        .iter()
        .filter_map(|test| test.strip_prefix("guest/").map(str::to_owned))
        .collect();
    if guests.is_empty() {
        bail!("run it together with the guests it is about");
    }
    let first = config::on_volume(&guests[0]);
    let avoids_cpu_0 = story_run.bed() == beds::QEMU_SMP && name == MANY;
    let mut text = config::host(true);
    text += &Vm::new(CONSOLE, first, config::SMALL)
        .line("autostart = false")
        .text();
    for guest in &guests {
        let mut vm = Vm::test_guest(guest)
            .line("on-reboot = \"stop\"")
            .line("test-devices = true")
            .line(&format!("cpus = {}", cpus[guest]));
        if avoids_cpu_0 {
            vm = vm.line(NOT_CPU_0);
        }
        for line in special(guest).map_or(&[][..], |special| special.lines) {
            vm = vm.line(line);
        }
        text += &vm.text();
    }
    let mut image = story_run.parts.image(&text);
    for guest in &guests {
        let path = config::on_volume(guest);
        image = match special(guest) {
            Some(special) => {
                let program = story_run.parts.test_guest(special.program);
                image.bytes(&path, special.form.make(&program)?)
            }
            None => image.file(&path, &story_run.parts.test_guest(guest)),
        };
    }
    image = image.file(
        &config::on_volume(MODULE),
        &story_run.parts.test_guest(MODULE),
    );
    let mut test_machine = story_run.start(&image, Shape::of(story_run.bed()))?;
    let mut watch = Watch::new(guests);
    let outcome = watch.until_the_end(story_run, &mut test_machine);
    let count = format!(" {} CPUs, ", story_run.bed().cpus);
    let has_all = test_machine.machine.transcript().contains(&count);
    story_run.verdict(
        &format!("{name}/{ALL_CPUS}"),
        has_all.then_some(()).with_context(|| {
            format!(
                "it does not say `{count}`\n{}",
                test_machine.machine.diagnosis()
            )
        }),
    );
    if let Err(error) = outcome {
        let running: Vec<&str> = watch.running().collect();
        return test_machine.play(&running, |_| Err(error));
    }
    story_run.verdict(&format!("{name}/{END}"), test_machine.is_off());
    Ok(())
}

/// What was heard of each guest.
struct Watch {
    guests: BTreeMap<String, Heard>,
}

#[derive(Default)]
struct Heard {
    verdict: Option<String>,
    end: Option<String>,
}

impl Watch {
    fn new(guests: Vec<String>) -> Self {
        Self {
            guests: guests
                .into_iter()
                .map(|guest| (guest, Heard::default()))
                .collect(),
        }
    }

    fn running(&self) -> impl Iterator<Item = &str> {
        self.guests
            .iter()
            .filter(|(_, heard)| heard.end.is_none())
            .map(|(name, _)| name.as_str())
    }

    /// Reads lines until the hypervisor says that all have ended.
    fn until_the_end(
        &mut self,
        story_run: &mut StoryRun<'_>,
        test_machine: &mut TestMachine,
    ) -> Result<()> {
        test_machine
            .expect("the hypervisor starts", 60)
            .context("the loader did not get through")?;
        let until = Instant::now() + test_machine.bed.patience(60);
        loop {
            if Instant::now() > until {
                let names: Vec<&str> = self.running().collect();
                bail!(
                    "still running: {}\n{}",
                    names.join(", "),
                    test_machine.machine.diagnosis()
                );
            }
            let Some(raw) = test_machine.machine.next_line(Duration::from_secs(1))? else {
                continue;
            };
            let line = lines::shown(&raw);
            ensure!(!line.contains(PANIC), "{}", test_machine.last_words());
            if line.contains(ALL_ENDED) {
                break;
            }
            if let Some(guest) = self.note(line) {
                self.judge(story_run, &guest);
            }
        }
        // Those of whom no verdict was heard, though they have ended.
        let silent: Vec<String> = self.guests.keys().cloned().collect();
        for guest in silent {
            let heard = &self.guests[&guest];
            story_run.verdict(&test_of(&guest), heard.outcome(&guest));
        }
        Ok(())
    }

    /// Says how a guest did, once both its verdict and its end were heard.
    fn judge(&self, story_run: &mut StoryRun<'_>, guest: &str) {
        let heard = &self.guests[guest];
        if heard.end.is_some() && (heard.verdict.is_some() || ends_otherwise(guest).is_some()) {
            story_run.verdict(&test_of(guest), heard.outcome(guest));
        }
    }

    /// Takes in one line; returns the guest it tells of.
    fn note(&mut self, line: &str) -> Option<String> {
        if let Some((before, rest)) = line.split_once("] verdict ") {
            // A program that is started in several ways calls itself the same in each: the VM's name counts.
            let (_, name) = before.rsplit_once('[')?;
            let (_, verdict) = rest.split_once(": ")?;
            self.guests.get_mut(name)?.verdict = Some(verdict.trim().to_owned());
            return Some(name.to_owned());
        }
        let (_, rest) = line.split_once(": vm ")?;
        let (name, what) = rest.split_once(": ")?;
        let is_end = what.starts_with("stopped: ") || what.starts_with("not started: ");
        let heard = self.guests.get_mut(name)?;
        if !is_end {
            return None;
        }
        heard.end = Some(what.trim().to_owned());
        Some(name.to_owned())
    }
}

/// The words of a guest's end that is not its exit port.
fn ends_otherwise(guest: &str) -> Option<&'static str> {
    OTHER_ENDS
        .iter()
        .find(|(name, _)| *name == guest)
        .map(|(_, end)| *end)
}

impl Heard {
    fn outcome(&self, guest: &str) -> Result<()> {
        let end = self.end.as_deref().unwrap_or("no end");
        let wanted = ends_otherwise(guest).unwrap_or(GOOD_END);
        let is_silent = self.verdict.is_none();
        let is_said = self.verdict.as_deref() == Some("pass");
        if end.starts_with(wanted) && (is_said || is_silent && wanted != GOOD_END) {
            return Ok(());
        }
        Err(match &self.verdict {
            Some(verdict) => anyhow!("{verdict} ({end})"),
            None => anyhow!("{end}; it should have been `{wanted}`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch::new(vec!["cpuid".to_owned(), "triple_fault".to_owned()])
    }

    #[test]
    fn code_0_behind_a_pass_is_a_pass() {
        let mut watch = watch();
        watch.note("[cpuid] verdict cpuid: pass");
        let end = "[  1.2] info  vmm: vm cpuid: stopped: ended by the guest's exit port, code 0";
        assert_eq!(watch.note(end).as_deref(), Some("cpuid"));
        assert!(watch.guests["cpuid"].outcome("cpuid").is_ok());
        assert_eq!(watch.running().collect::<Vec<_>>(), ["triple_fault"]);
    }

    #[test]
    fn a_failing_verdict_is_quoted() {
        let mut watch = watch();
        watch.note("[cpuid] verdict cpuid: fail leaf 1: got 0x1, wanted 0x2");
        watch.note("info  vmm: vm cpuid: stopped: ended by the guest's exit port, code 1");
        let error = watch.guests["cpuid"].outcome("cpuid").unwrap_err();
        assert!(error.to_string().contains("wanted 0x2"));
    }

    #[test]
    fn some_must_end_otherwise() {
        let mut watch = watch();
        watch.note("error vmm: vm triple_fault: stopped: triple fault");
        assert!(watch.guests["triple_fault"].outcome("triple_fault").is_ok());
        watch.note("error vmm: vm cpuid: stopped: triple fault");
        assert!(watch.guests["cpuid"].outcome("cpuid").is_err());
    }
}
