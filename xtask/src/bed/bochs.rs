//! Bochs: the VT-x bed, and a second AMD-V bed with other features.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Config, Machine, Serial, firmware, link_image};
use crate::need;
use crate::procs::{OwnedChild, Scratch, emulator};

/// What is special to Bochs.
#[derive(Clone, Debug)]
pub struct Options {
    /// CPU model as Bochs names it, e.g. `corei7_skylake_x`.
    pub model: String,
    /// Emulated instructions per emulated second. Only scales time.
    pub instructions_per_second: u64,
    /// More lines for its configuration.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Newer models lack what their mitigations need, and Linux complains of them on the bare emulator, too.
            model: "corei7_haswell_4770".to_owned(),
            instructions_per_second: 100_000_000,
            extra: Vec::new(),
        }
    }
}

/// Starts a machine. Guest power-off does not end it; [`Machine::kill`] or dropping it does.
///
/// # Errors
/// Bochs or a BIOS file is missing and may not be installed, or it does not start; its log is shown.
pub fn start(config: &Config, options: &Options) -> Result<Machine> {
    need::ensure(need::BOCHS)?;
    let scratch = Scratch::new("bochs")?;
    // Locks and the changed sectors lie beside the disk's name: so every machine has its own name for it.
    let disk = link_image(&config.image, scratch.path())?;
    let port = free_port()?;
    let (serial_log, machine_log) = (config.log("serial")?, config.log("machine")?);
    let rc = scratch.path().join("bochsrc");
    std::fs::write(
        &rc,
        configuration(config, options, &disk, port, &machine_log)?,
    )?;
    // Debian's build stops in its debugger at the first instruction; this lets it go.
    let go = scratch.path().join("go");
    std::fs::write(&go, "c\n")?;
    let words = std::fs::File::create(config.log("console")?)?;
    let mut command = emulator("bochs");
    command
        .arg("-q")
        .arg("-f")
        .arg(&rc)
        .arg("-rc")
        .arg(&go)
        .current_dir(scratch.path())
        .env("BXSHARE", "/usr/share/bochs")
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words);
    let mut child = OwnedChild::spawn(&mut command).context("starting bochs")?;
    let stream = connect(&mut child, port).with_context(|| {
        format!(
            "see {} and the console log beside it",
            crate::paths::shown(&machine_log)
        )
    })?;
    let serial = Serial::new(stream.try_clone()?, stream, &serial_log)?;
    Ok(Machine::new(
        &config.name,
        child,
        serial,
        vec![serial_log, machine_log],
        scratch,
    ))
}

/// Bochs waits for somebody to connect to the serial port before it runs, so nothing is missed.
fn connect(child: &mut OwnedChild, port: u16) -> Result<TcpStream> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
        if let Some(status) = child.ended() {
            bail!("bochs ended at once ({status})");
        }
        if Instant::now() > until {
            bail!("bochs did not open its serial port within 30 s");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn configuration(
    config: &Config,
    options: &Options,
    disk: &Path,
    port: u16,
    log: &Path,
) -> Result<String> {
    let firmware =
        firmware::combined().context("the OVMF package has no combined firmware image")?;
    let firmware_at = (4 << 30) - std::fs::metadata(&firmware)?.len();
    let vga = firmware::vga().context("no video BIOS")?;
    let mut text = String::new();
    writeln!(
        text,
        "cpu: model={}, count={}, ips={}, reset_on_triple_fault=0",
        options.model, config.cpus, options.instructions_per_second
    )?;
    writeln!(text, "megs: {}", config.memory_mib)?;
    writeln!(
        text,
        "romimage: file={}, address={firmware_at:#x}",
        firmware.display()
    )?;
    writeln!(text, "vgaromimage: file={}", vga.display())?;
    writeln!(text, "display_library: rfb, options=\"timeout=0\"")?;
    writeln!(text, "pci: enabled=1, chipset=i440fx")?;
    writeln!(
        text,
        "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14"
    )?;
    writeln!(
        text,
        "ata0-master: type=disk, path=\"{}\", mode=volatile",
        disk.display()
    )?;
    writeln!(text, "boot: disk")?;
    writeln!(
        text,
        "com1: enabled=1, mode=socket-server, dev=localhost:{port}"
    )?;
    writeln!(text, "port_e9_hack: enabled=1")?;
    writeln!(text, "clock: sync=none, time0=utc")?;
    // Without a sound card its mixer ends the whole emulator.
    writeln!(text, "speaker: enabled=0, mode=none")?;
    writeln!(
        text,
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy"
    )?;
    // It logs an error at every VM exit; only a panic is worth a line.
    writeln!(
        text,
        "panic: action=report\nerror: action=ignore\ninfo: action=ignore"
    )?;
    writeln!(text, "log: \"{}\"", log.display())?;
    for line in &options.extra {
        writeln!(text, "{line}")?;
    }
    Ok(text)
}
