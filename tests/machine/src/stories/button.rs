//! The power button: a guest that heeds it switches itself off, one that does not is stopped when its time is over.

use anyhow::{Context, Result, ensure};
use xtask::guest::{self, cpio};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::stories::linux;
use crate::test_machine::TestMachine;

/// The guest, and what it says.
const GUEST: &str = "power_button";
const AWAITS: &str = "awaits the power button";
const HEARD: &str = "heard the power button";
/// What `stop` and `button` answer when the guest listens.
const PRESSED_FOR_STOP: &str = "power button pressed; stopped hard if";
const PRESSED: &str = "power button pressed\r\n";
/// The hypervisor's word when it has to stop a VM itself.
const TOO_LATE: &str = "did not switch itself off in time";

const STOP: &str = "button/stop-is-heeded";
const BUTTON: &str = "button/button-is-heeded";
const PAUSED: &str = "button/stop-of-a-paused-vm-is-heeded";
/// Takes the whole 30 s of the guest's time: many minutes in Bochs.
pub const IGNORED: &str = "button/stopped-hard-when-ignored";

const LINUX: &str = "button/linux-shuts-down";
/// What Debian's kernel needs to tell of the button, and to have somebody listen.
const MODULES: [&str; 2] = ["drivers/acpi/button.ko", "drivers/input/evdev.ko"];
/// Starts busybox's daemon for ACPI, which has `init` shut the system down when the button is pressed.
const LISTEN: &str = "\
#!/bin/sh
insmod /root/button.ko && insmod /root/evdev.ko || exit
mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\\npoweroff\\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid -l /tmp/acpid.log && echo acpid is up
";

/// Boots Linux on this bed.
pub fn linux_boot(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "button-linux", seconds, [LINUX], linux_story)
}

fn linux_story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let modules = guest::kernel_modules(guest::DEFAULT, &MODULES)?;
    let mut guest = guest::fetch(guest::DEFAULT)?;
    let mut initrd = std::fs::read(guest.initramfs()?)?;
    let [button, evdev] = &modules[..] else {
        anyhow::bail!("not as many modules as were asked for");
    };
    initrd.extend(cpio::overlay(&[
        ("root/button.ko", button),
        ("root/evdev.ko", evdev),
        ("bin/listen", LISTEN.as_bytes()),
    ])?);
    let on_volume = guest.initrd_on_volume();
    let text = config::host(false) + &guest.vm_section();
    guest.initrd = None;
    let image = story_run.parts.image(&text).guest(&guest);
    let mut test_machine = story_run.start(&image.bytes(&on_volume, initrd), Shape::default())?;
    let vm = guest.name.as_str();
    test_machine.play(&[vm], |test_machine| {
        linux::to_marker(test_machine, vm)?;
        linux::answers(test_machine)?;
        test_machine.type_line("listen")?;
        test_machine.expect("acpid is up", 60)?;
        test_machine.expect(linux::SHELL_PROMPT, 30)?;
        test_machine.open_prompt()?;
        test_machine.type_line(&format!("stop {vm}"))?;
        test_machine.expect(PRESSED_FOR_STOP, 10)?;
        // `init` says so before it ends all processes.
        test_machine
            .expect("The system is going down", 60)
            .context("nobody heard the button")?;
        test_machine.expect(&format!("vm {vm}: stopped: powered off by the guest"), 60)?;
        let transcript = test_machine.machine.transcript();
        ensure!(!transcript.contains(TOO_LATE), "not by itself");
        story_run.pass(LINUX);
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        test_machine.is_off()
    })
}

/// Boots the guest.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = [STOP, BUTTON, PAUSED, IGNORED];
    Boot::new(bed, "button", seconds, tests, story)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let text = config::host(false) + &Vm::test_guest(GUEST).text();
    let image = story_run.parts.image(&text);
    let image = image.file(
        &config::on_volume(GUEST),
        &story_run.parts.test_guest(GUEST),
    );
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.play(&[GUEST], |test_machine| {
        test_machine.expect(AWAITS, 60)?;
        test_machine.open_prompt()?;
        story_run.verdict(
            STOP,
            switches_itself_off(test_machine, "stop", PRESSED_FOR_STOP),
        );
        start(test_machine)?;
        story_run.verdict(BUTTON, switches_itself_off(test_machine, "button", PRESSED));
        start(test_machine)?;
        test_machine.order_says(&format!("pause {GUEST}"), "pauses")?;
        story_run.verdict(
            PAUSED,
            switches_itself_off(test_machine, "stop", PRESSED_FOR_STOP),
        );
        if story_run.is_open(IGNORED) {
            start(test_machine)?;
            story_run.verdict(IGNORED, is_stopped_hard(test_machine));
        }
        test_machine.type_line("poweroff")?;
        test_machine.expect("powering off", 10)?;
        test_machine.is_off()
    })
}

fn start(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line(&format!("start {GUEST}"))?;
    test_machine
        .expect(&format!("[{GUEST}] {AWAITS}"), 30)
        .map(|_| ())
}

/// By `command`, whose answer holds `answer`; in time, so nobody has to help.
fn switches_itself_off(test_machine: &mut TestMachine, command: &str, answer: &str) -> Result<()> {
    test_machine.type_line(&format!("{command} {GUEST}"))?;
    test_machine.expect(answer, 10)?;
    test_machine.expect(&format!("[{GUEST}] {HEARD}"), 20)?;
    let stopped = format!("vm {GUEST}: stopped: powered off by the guest");
    test_machine.expect(&stopped, 20)?;
    let transcript = test_machine.machine.transcript();
    ensure!(!transcript.contains(TOO_LATE), "not by itself");
    Ok(())
}

fn is_stopped_hard(test_machine: &mut TestMachine) -> Result<()> {
    test_machine.type_line(&format!("attach {GUEST}"))?;
    test_machine.expect(&format!("console of vm {GUEST}"), 10)?;
    test_machine.machine.send("i")?;
    test_machine.expect("will ignore the power button", 10)?;
    test_machine.open_prompt()?;
    test_machine.type_line(&format!("stop {GUEST}"))?;
    test_machine.expect(PRESSED_FOR_STOP, 10)?;
    test_machine.expect(&format!("[{GUEST}] ignores the power button"), 20)?;
    test_machine.expect(TOO_LATE, 60)?;
    test_machine
        .expect(&format!("vm {GUEST}: stopped: stopped by the operator"), 10)
        .map(|_| ())
}
