//! The power button: a guest that heeds it switches itself off, one that does not is stopped when its time is over.

use anyhow::{Context, Result, ensure};
use xtask::guest::{self, cpio};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::rig::Rig;
use crate::stories::linux;

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

fn linux_story(stage: &mut Stage<'_>) -> Result<()> {
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
    let image = stage.parts.image(&text).guest(&guest);
    let mut rig = stage.start(&image.bytes(&on_volume, initrd), Shape::default())?;
    let vm = guest.name.as_str();
    rig.play(&[vm], |rig| {
        linux::to_marker(rig, vm)?;
        linux::answers(rig)?;
        rig.type_line("listen")?;
        rig.expect("acpid is up", 60)?;
        rig.expect(linux::SHELL_PROMPT, 30)?;
        rig.open_prompt()?;
        rig.type_line(&format!("stop {vm}"))?;
        rig.expect(PRESSED_FOR_STOP, 10)?;
        // `init` says so before it ends all processes.
        rig.expect("The system is going down", 60)
            .context("nobody heard the button")?;
        rig.expect(&format!("vm {vm}: stopped: powered off by the guest"), 60)?;
        let transcript = rig.machine.transcript();
        ensure!(!transcript.contains(TOO_LATE), "not by itself");
        stage.pass(LINUX);
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        rig.is_off()
    })
}

/// Boots the guest.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = [STOP, BUTTON, PAUSED, IGNORED];
    Boot::new(bed, "button", seconds, tests, story)
}

fn story(stage: &mut Stage<'_>) -> Result<()> {
    let text = config::host(false) + &Vm::test_guest(GUEST).text();
    let image = stage.parts.image(&text);
    let image = image.file(&config::on_volume(GUEST), &stage.parts.test_guest(GUEST));
    let mut rig = stage.start(&image, Shape::default())?;
    rig.play(&[GUEST], |rig| {
        rig.expect(AWAITS, 60)?;
        rig.open_prompt()?;
        stage.verdict(STOP, switches_itself_off(rig, "stop", PRESSED_FOR_STOP));
        start(rig)?;
        stage.verdict(BUTTON, switches_itself_off(rig, "button", PRESSED));
        start(rig)?;
        rig.order_says(&format!("pause {GUEST}"), "pauses")?;
        stage.verdict(PAUSED, switches_itself_off(rig, "stop", PRESSED_FOR_STOP));
        if stage.is_open(IGNORED) {
            start(rig)?;
            stage.verdict(IGNORED, is_stopped_hard(rig));
        }
        rig.type_line("poweroff")?;
        rig.expect("powering off", 10)?;
        rig.is_off()
    })
}

fn start(rig: &mut Rig) -> Result<()> {
    rig.type_line(&format!("start {GUEST}"))?;
    rig.expect(&format!("[{GUEST}] {AWAITS}"), 30).map(|_| ())
}

/// By `command`, whose answer holds `answer`; in time, so nobody has to help.
fn switches_itself_off(rig: &mut Rig, command: &str, answer: &str) -> Result<()> {
    rig.type_line(&format!("{command} {GUEST}"))?;
    rig.expect(answer, 10)?;
    rig.expect(&format!("[{GUEST}] {HEARD}"), 20)?;
    let stopped = format!("vm {GUEST}: stopped: powered off by the guest");
    rig.expect(&stopped, 20)?;
    let transcript = rig.machine.transcript();
    ensure!(!transcript.contains(TOO_LATE), "not by itself");
    Ok(())
}

fn is_stopped_hard(rig: &mut Rig) -> Result<()> {
    rig.type_line(&format!("attach {GUEST}"))?;
    rig.expect(&format!("console of vm {GUEST}"), 10)?;
    rig.machine.send("i")?;
    rig.expect("will ignore the power button", 10)?;
    rig.open_prompt()?;
    rig.type_line(&format!("stop {GUEST}"))?;
    rig.expect(PRESSED_FOR_STOP, 10)?;
    rig.expect(&format!("[{GUEST}] ignores the power button"), 20)?;
    rig.expect(TOO_LATE, 60)?;
    rig.expect(&format!("vm {GUEST}: stopped: stopped by the operator"), 10)
        .map(|_| ())
}
