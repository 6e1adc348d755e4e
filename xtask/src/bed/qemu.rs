//! QEMU: the AMD-V bed under plain emulation, and either vendor under nested KVM.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::{Config, Machine, Serial, firmware};
use crate::need;
use crate::procs::{OwnedChild, Scratch, emulator};

/// The CPU of the AMD-V bed: all that QEMU emulates but CMPXCHG16B.
///
/// QEMU 7.2 takes the flags that CMPXCHG16B leaves alone from a stale state. Linux uses it wherever it is offered, and a vCPU that is
/// interrupted a few instructions earlier goes on with a pointer for flags: TF set, wrong branches, an oops.
pub const CPU: &str = "max,-cx16";

/// What is special to QEMU.
#[derive(Clone, Debug)]
pub struct Options {
    /// CPU model as QEMU names it. `max` and the EPYC models have AMD-V with nested paging.
    pub cpu: String,
    /// Run under KVM.
    pub kvm: bool,
    /// Count instructions: the clock ticks once per instruction, runs are repeatable. One CPU only.
    pub is_counting: bool,
    /// All CPUs take turns on one thread of the emulator, for plugins that count without locks.
    pub is_single_threaded: bool,
    /// A display adapter, so that the firmware offers a framebuffer; nobody need look at it.
    pub has_display: bool,
    /// Let a gdb attach on this port.
    pub gdb_port: Option<u16>,
    /// Log exceptions and CPU resets to `target/logs/NAME-cpu.log`.
    pub logs_exceptions: bool,
    /// More arguments.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpu: CPU.to_owned(),
            kvm: false,
            is_counting: false,
            is_single_threaded: false,
            has_display: true,
            gdb_port: None,
            logs_exceptions: false,
            extra: Vec::new(),
        }
    }
}

/// Starts a machine. A host reboot or power-off ends it, with status 0.
///
/// A byte `v` written to port 0xf4 ends it with status `2 v + 1`.
///
/// # Errors
/// QEMU or the firmware is missing and may not be installed, or QEMU does not start.
pub fn start(config: &Config, options: &Options) -> Result<Machine> {
    need::ensure(need::QEMU)?;
    let scratch = Scratch::new("qemu")?;
    let firmware =
        firmware::pflash().context("the OVMF package has no firmware where it is expected")?;
    let variables = scratch.path().join("variables.fd");
    std::fs::copy(&firmware.variables, &variables)?;
    let (serial_log, machine_log) = (config.log("serial")?, config.log("machine")?);
    let mut logs = vec![serial_log.clone(), machine_log.clone()];
    let mut command = emulator("qemu-system-x86_64");
    command.args(arguments(config, options));
    command
        .arg("-drive")
        .arg(flash(&firmware.code, true))
        .arg("-drive")
        .arg(flash(&variables, false));
    if options.logs_exceptions {
        let cpu_log = config.log("cpu")?;
        command.args(["-d", "int,cpu_reset", "-D"]).arg(&cpu_log);
        logs.push(cpu_log);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&machine_log)?)
        .args(&options.extra);
    let mut child = OwnedChild::spawn(&mut command).context("starting qemu-system-x86_64")?;
    let from = child
        .inner()
        .stdout
        .take()
        .context("QEMU's standard output")?;
    let to = child
        .inner()
        .stdin
        .take()
        .context("QEMU's standard input")?;
    let serial = Serial::new(from, to, &serial_log)?;
    Ok(Machine::new(&config.name, child, serial, logs, scratch))
}

fn arguments(config: &Config, options: &Options) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    if options.kvm {
        add(&["-accel", "kvm"]);
    } else if options.is_counting {
        // Fixed seed and clock: without them counts spread by 0.03 %.
        add(&[
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
            "-seed",
            "1",
        ]);
        add(&["-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
    } else if options.is_single_threaded {
        add(&["-accel", "tcg,thread=single"]);
    } else {
        add(&["-accel", "tcg"]);
    }
    let cpu = if options.kvm && options.cpu == CPU {
        "host"
    } else {
        &options.cpu
    };
    add(&[
        "-machine",
        "q35",
        "-cpu",
        cpu,
        "-smp",
        &config.cpus.to_string(),
    ]);
    add(&[
        "-m",
        &format!("{}M", config.memory_mib),
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    ]);
    let display = if options.has_display { "std" } else { "none" };
    add(&["-vga", display, "-monitor", "none", "-serial", "stdio"]);
    add(&[
        "-drive",
        &format!("format=raw,snapshot=on,file={}", escaped(&config.image)),
    ]);
    add(&["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    if let Some(port) = options.gdb_port {
        add(&["-gdb", &format!("tcp:127.0.0.1:{port}")]);
    }
    arguments
}

fn flash(file: &Path, is_readonly: bool) -> String {
    let readonly = if is_readonly { "readonly=on," } else { "" };
    format!("if=pflash,format=raw,{readonly}file={}", escaped(file))
}

/// A path inside a QEMU option, where a comma is written twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_runs_on_one_thread_with_a_fixed_clock() {
        let options = Options {
            is_counting: true,
            ..Options::default()
        };
        let arguments = arguments(&Config::new("x", "a,b.img"), &options).join(" ");
        assert!(arguments.contains("tcg,thread=single") && arguments.contains("shift=0,sleep=off"));
        assert!(arguments.contains("file=a,,b.img"));
    }
}
