//! `cargo xtask run`: firmware, Caisson, the guest's kernel and its shell, on this terminal.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::bed::accel::{Accel, Vendor, decide, kvm_verdict};
use crate::bed::{Config, Keys, Machine, bochs, qemu};
use crate::build::Profile;
use crate::image::ImageSpec;
use crate::need;
use crate::terminal::RawMode;
use crate::ui::{Step, say};

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose virtualization; by default what runs fastest here.
    pub vendor: Option<Vendor>,
    /// CPU model, as the emulator names it; the bed's usual one by default.
    pub cpu: Option<String>,
    /// Recipe of the guest.
    pub guest: String,
    /// Configuration instead of the recipe's.
    pub config: Option<PathBuf>,
    /// More files for the image: path on the boot volume, file of this machine.
    pub files: Vec<(String, PathBuf)>,
    /// A ready image instead of building one.
    pub image: Option<PathBuf>,
    /// Memory of the machine in MiB.
    pub memory_mib: Option<u32>,
    /// CPUs of the machine.
    pub cpus: u32,
    /// KVM or emulation.
    pub accel: Accel,
    /// Development build, gdb port, exception log.
    pub is_debug: bool,
    /// End after so long.
    pub timeout: Option<Duration>,
    /// End when this text has appeared.
    pub exit_when: Option<String>,
    /// End when a VM ends by its exit port, with its code as status.
    pub is_exit_code: bool,
}

/// Keys typed into a pipe wait for this: firmware would take them for its own.
const GUEST_IS_UP: &str = "CAISSON-GUEST-UP";
/// The firmware's last events.
const LOADER_STARTS: &str = "BdsDxe: starting";
/// Ctrl-A, the key that announces a command to us.
const ESCAPE: u8 = 1;
/// What the hypervisor says when no VM could be made.
const NO_VM: &str = "no VM to run; ";
/// What the hypervisor says of a VM that ended by its exit port; the code follows.
const ENDED_WITH_CODE: &str = "stopped: ended by the guest's exit port, code ";
/// What `timeout` of coreutils exits with.
const TIMED_OUT: u8 = 124;

/// Builds what is needed, boots it, and connects the terminal.
///
/// # Errors
/// Something is missing, does not build, or does not start.
pub fn run(options: &Options) -> Result<ExitCode> {
    let kvm_verdict = kvm_verdict();
    let (vendor, uses_kvm) =
        decide(options.accel, options.vendor, &kvm_verdict).map_err(|reason| anyhow!(reason))?;
    let uses_qemu = uses_kvm || vendor == Vendor::Amd;
    need::ensure(if uses_qemu { need::QEMU } else { need::BOCHS })?;
    let profile = if options.is_debug {
        Profile::Dev
    } else {
        Profile::Release
    };
    let image = match &options.image {
        Some(image) => image.clone(),
        None => crate::image::assemble(&ImageSpec {
            guest: options.guest.clone(),
            config: options.config.clone(),
            files: options.files.clone(),
            out: None,
            profile,
        })?,
    };
    let machine = if uses_qemu {
        match kvm_verdict {
            _ if uses_kvm => say("QEMU with KVM"),
            Ok(_) => say("QEMU, plain emulation"),
            Err(reason) => say(format!("QEMU, plain emulation; no KVM because {reason}")),
        }
        start_qemu(options, image, uses_kvm)?
    } else {
        start_bochs(options, image)?
    };
    say("Ctrl-A X ends it, Ctrl-A Ctrl-A types a Ctrl-A.");
    let code = connect(machine, options);
    crate::terminal::restore();
    code
}

fn start_qemu(options: &Options, image: PathBuf, kvm: bool) -> Result<Machine> {
    let config = Config::new("run", image)
        .cpus(options.cpus)
        .memory_mib(options.memory_mib.unwrap_or(2048));
    let mut bed = qemu::Options {
        kvm,
        logs_exceptions: options.is_debug && !kvm,
        ..qemu::Options::default()
    };
    if let Some(cpu) = &options.cpu {
        bed.cpu.clone_from(cpu);
    }
    if options.is_debug {
        bed.gdb_port = Some(1234);
        say("gdb: target remote localhost:1234; exceptions are logged in target/logs/run-cpu.log");
    }
    qemu::start(&config, &bed)
}

fn start_bochs(options: &Options, image: PathBuf) -> Result<Machine> {
    let config = Config::new("run", image)
        .cpus(options.cpus)
        .memory_mib(options.memory_mib.unwrap_or(1024));
    let mut bed = bochs::Options::default();
    if let Some(cpu) = &options.cpu {
        bed.model.clone_from(cpu);
    }
    say(format!(
        "Bochs, model {}; the firmware takes some 10 s, a Linux kernel about a minute",
        bed.model
    ));
    bochs::start(&config, &bed)
}

/// What the keyboard thread tells the main one.
enum KeyboardEvent {
    Quit,
}

fn connect(mut machine: Machine, options: &Options) -> Result<ExitCode> {
    let raw = RawMode::enter();
    let (sender, events) = channel();
    let (open_gate, gate) = channel();
    let is_terminal = raw.is_some();
    let keys = machine.keys();
    std::thread::spawn(move || type_on(&keys, is_terminal, &gate, &sender));
    let end = watch(&mut machine, options, &events, &open_gate);
    drop(raw);
    match end {
        End::Quit => say("\nended by Ctrl-A X"),
        End::Seen => say(format!(
            "\nended: `{}` was seen",
            options.exit_when.as_deref().unwrap_or_default()
        )),
        End::Code(code) => {
            say(format!("\nended: the guest's exit code is {code}"));
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        End::NoVm => {
            say("\nended: no VM was started, so there is no exit code; the log above says why");
            return Ok(ExitCode::FAILURE);
        }
        End::TimedOut => {
            say("\nended: the time is over");
            return Ok(ExitCode::from(TIMED_OUT));
        }
        End::Stopped(status) => {
            say(format!("\nthe machine has ended ({status})"));
            if options.exit_when.is_some() || options.is_exit_code || !status.success() {
                say(machine.diagnosis());
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

enum End {
    Quit,
    Seen,
    Code(u32),
    NoVm,
    TimedOut,
    Stopped(std::process::ExitStatus),
}

fn watch(
    machine: &mut Machine,
    options: &Options,
    events: &Receiver<KeyboardEvent>,
    open_gate: &Sender<()>,
) -> End {
    let began = Instant::now();
    let mut is_gate_open = false;
    let mut out = std::io::stdout();
    let mut firmware = Firmware::default();
    let mut waiting = Some(Step::start("firmware"));
    // Only the newest part is searched: a text may lie across two chunks.
    let mut recent = String::new();
    loop {
        let fresh = machine.fresh(Duration::from_millis(50));
        if !fresh.is_empty() {
            let shown = firmware.filter(&fresh);
            if !shown.is_empty()
                && let Some(step) = waiting.take()
            {
                step.done("it speaks");
            }
            // A closed pipe on our side must not leave the machine running: the timeout or Ctrl-C ends it.
            let _ = out.write_all(&shown).and_then(|()| out.flush());
            recent += &String::from_utf8_lossy(&fresh);
            firmware.is_over |= recent.contains(LOADER_STARTS);
            if !is_gate_open && recent.contains(GUEST_IS_UP) {
                is_gate_open = open_gate.send(()).is_ok();
            }
            if options
                .exit_when
                .as_ref()
                .is_some_and(|text| recent.contains(text))
            {
                return End::Seen;
            }
            if let Some(end) = guest_end(&recent).filter(|_| options.is_exit_code) {
                return end;
            }
            let keep = recent.len().saturating_sub(512);
            let keep = (keep..=recent.len())
                .find(|at| recent.is_char_boundary(*at))
                .unwrap_or(0);
            recent.drain(..keep);
        } else if let Some(status) = machine.ended() {
            return End::Stopped(status);
        }
        if matches!(events.try_recv(), Ok(KeyboardEvent::Quit)) {
            return End::Quit;
        }
        if options
            .timeout
            .is_some_and(|timeout| began.elapsed() > timeout)
        {
            return End::TimedOut;
        }
    }
}

/// How the guest ended, for one who waits for its exit code; none will come if no VM was made.
fn guest_end(text: &str) -> Option<End> {
    exit_code(text)
        .map(End::Code)
        .or_else(|| text.contains(NO_VM).then_some(End::NoVm))
}

/// The code of a VM that ended by its exit port, once the number is complete.
fn exit_code(text: &str) -> Option<u32> {
    text.match_indices(ENDED_WITH_CODE).find_map(|(at, said)| {
        let (number, _) = text.get(at + said.len()..)?.split_once(['\r', '\n'])?;
        number.parse().ok()
    })
}

/// Takes keys from standard input to the machine until the input or the machine ends.
fn type_on(keys: &Keys, is_terminal: bool, gate: &Receiver<()>, events: &Sender<KeyboardEvent>) {
    if !is_terminal && gate.recv().is_err() {
        return;
    }
    let mut commands = Commands::default();
    let mut buffer = [0; 256];
    while let Ok(len @ 1..) = std::io::stdin().read(&mut buffer) {
        let typed = if is_terminal {
            let (typed, quits) = commands.filter(&buffer[..len]);
            if quits {
                // The main thread ends the machine, whose terminal this is.
                let _ = events.send(KeyboardEvent::Quit);
                return;
            }
            typed
        } else {
            buffer[..len].to_vec()
        };
        if keys.send(&typed).is_err() {
            return;
        }
    }
}

/// Takes the firmware's escape codes out: it clears the screen several times, and what was said before is worth keeping.
#[derive(Default)]
struct Firmware {
    is_over: bool,
    code: Code,
}

/// How far into an escape code we are.
#[derive(Clone, Copy, Default)]
enum Code {
    #[default]
    Outside,
    Begun,
    Inside,
}

impl Firmware {
    fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_over {
            return bytes.to_vec();
        }
        let mut kept = Vec::new();
        for byte in bytes {
            self.code = match (self.code, *byte) {
                (Code::Outside, 0x1b) => Code::Begun,
                (Code::Outside, byte) => {
                    kept.push(byte);
                    Code::Outside
                }
                (Code::Begun, b'[') => Code::Inside,
                // Its last byte. (ECMA-48, 5.4)
                (Code::Inside, 0x40..=0x7e) | (Code::Begun, _) => Code::Outside,
                (Code::Inside, _) => Code::Inside,
            };
        }
        kept
    }
}

/// Finds our own commands among the keys: Ctrl-A X and Ctrl-A Ctrl-A.
#[derive(Default)]
struct Commands {
    is_escaped: bool,
}

impl Commands {
    /// Returns what to pass on, and whether to quit.
    fn filter(&mut self, keys: &[u8]) -> (Vec<u8>, bool) {
        let mut typed = Vec::new();
        for key in keys {
            match (std::mem::take(&mut self.is_escaped), *key) {
                (false, ESCAPE) => self.is_escaped = true,
                (true, b'x' | b'X' | 0x18) => return (typed, true),
                // Ctrl-A twice types it once; anything else after it is meant for the guest, alone.
                (_, key) => typed.push(key),
            }
        }
        (typed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_x_quits_even_across_two_reads() {
        let mut commands = Commands::default();
        assert_eq!(commands.filter(b"ls\x01"), (b"ls".to_vec(), false));
        assert_eq!(commands.filter(b"x"), (Vec::new(), true));
    }

    #[test]
    fn the_firmware_does_not_clear_the_screen() {
        let mut firmware = Firmware::default();
        assert_eq!(firmware.filter(b"\x1b[2J\x1b[01;0"), b"");
        assert_eq!(firmware.filter(b"1HBds"), b"Bds");
        firmware.is_over = true;
        assert_eq!(firmware.filter(b"\x1b[2J"), b"\x1b[2J");
    }

    #[test]
    fn an_exit_code_is_read_when_its_line_is_complete() {
        let line = "[  1.2] info  vmm: vm a: stopped: ended by the guest's exit port, code 17";
        assert_eq!(exit_code(line), None);
        assert_eq!(exit_code(&format!("{line}\r\n")), Some(17));
        assert_eq!(exit_code("vm a: stopped: triple fault\r\n"), None);
    }

    #[test]
    fn who_waits_for_a_code_hears_that_none_will_come() {
        let code = "vm a: stopped: ended by the guest's exit port, code 3\r\n";
        assert!(matches!(guest_end(code), Some(End::Code(3))));
        let none = "[  0.1] warn  vmm: no VM to run; press Ctrl-] for the operator's shell\r\n";
        assert!(matches!(guest_end(none), Some(End::NoVm)));
        assert!(guest_end("vm a: starts, 1 vCPU, 64 MiB\r\n").is_none());
    }

    #[test]
    fn ctrl_a_twice_types_it_once() {
        assert_eq!(
            Commands::default().filter(b"\x01\x01b"),
            (b"\x01b".to_vec(), false)
        );
    }
}
