//! Beds: emulated machines that boot an image, with their serial port in our hands.
//!
//! A [`Machine`] is started by [`qemu::start`] or [`bochs::start`]; it ends when dropped and leaves only its logs, in
//! `target/logs/`.

pub mod accel;
pub mod bochs;
pub mod firmware;
pub mod qemu;
mod serial;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::procs::{OwnedChild, Scratch};
pub use serial::{Keys, Serial};

/// What every bed needs to know of the machine to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the logs: `target/logs/NAME-serial.log`, `NAME-machine.log`. Unique among machines that run at once.
    pub name: String,
    /// Disk image to boot; the machine's writes to it are thrown away.
    pub image: PathBuf,
    /// How many CPUs.
    pub cpus: u32,
    /// How much memory, in MiB.
    pub memory_mib: u32,
}

impl Config {
    /// One CPU and 1 GiB.
    pub fn new(name: impl Into<String>, image: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            cpus: 1,
            memory_mib: 1024,
        }
    }

    /// With so many CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// With so much memory, in MiB.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    fn log(&self, kind: &str) -> Result<PathBuf> {
        crate::paths::target(&format!("logs/{}-{kind}.log", self.name))
    }
}

/// A running machine.
pub struct Machine {
    name: String,
    child: OwnedChild,
    serial: Serial,
    logs: Vec<PathBuf>,
    // Dropped after the child: the emulator still has files open in it.
    _scratch: Scratch,
}

impl Machine {
    fn new(
        name: &str,
        child: OwnedChild,
        serial: Serial,
        logs: Vec<PathBuf>,
        scratch: Scratch,
    ) -> Self {
        Self {
            name: name.to_owned(),
            child,
            serial,
            logs,
            _scratch: scratch,
        }
    }

    /// Waits until the serial port has said `text`, looking behind what earlier calls found.
    ///
    /// Returns everything from there up to and with `text`.
    ///
    /// # Errors
    /// Not said within `timeout`, or the machine ended before; the error shows the end of the serial log.
    pub fn expect(&mut self, text: &str, timeout: Duration) -> Result<String> {
        self.expect_any(&[text], timeout).map(|(_, found)| found)
    }

    /// Waits until the serial port has said one of `texts`; returns which, and everything up to it.
    ///
    /// # Errors
    /// As [`Machine::expect`].
    pub fn expect_any(&mut self, texts: &[&str], timeout: Duration) -> Result<(usize, String)> {
        let timeout = timeout.mul_f64(patience());
        let until = Instant::now() + timeout;
        loop {
            if let Some(found) = self.serial.take_until(texts) {
                return Ok(found);
            }
            let wanted = texts.join("` or `");
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waited = timeout.as_secs_f32();
                bail!(
                    "{}: no `{wanted}` within {waited:.0} s\n{}",
                    self.name,
                    self.diagnosis()
                );
            }
            if !self.serial.receive(left.min(Duration::from_millis(200)))
                && self.has_drained_after_end()
            {
                if let Some(found) = self.serial.take_until(texts) {
                    return Ok(found);
                }
                return Err(anyhow!(
                    "{}: the machine ended without `{wanted}`\n{}",
                    self.name,
                    self.diagnosis()
                ));
            }
        }
    }

    /// The next whole line from the serial port, without its end; `None` if none came within `timeout`.
    ///
    /// # Errors
    /// The machine ended and there is no further line.
    pub fn next_line(&mut self, timeout: Duration) -> Result<Option<String>> {
        let until = Instant::now() + timeout.mul_f64(patience());
        loop {
            if let Some(line) = self.serial.take_line() {
                return Ok(Some(line));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if !self.serial.receive(left.min(Duration::from_millis(200)))
                && self.has_drained_after_end()
            {
                return match self.serial.take_line() {
                    Some(line) => Ok(Some(line)),
                    None => Err(anyhow!(
                        "{}: the machine ended\n{}",
                        self.name,
                        self.diagnosis()
                    )),
                };
            }
        }
    }

    /// Types on the serial port.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.serial.keys().send(text.as_bytes())
    }

    /// The typing end of the serial port, for another thread.
    pub fn keys(&self) -> Keys {
        self.serial.keys()
    }

    /// Bytes that came since the last call, waiting at most `timeout` for the first; for showing them live.
    pub fn fresh(&mut self, timeout: Duration) -> Vec<u8> {
        self.serial.fresh(timeout)
    }

    /// Everything the serial port has said.
    pub fn transcript(&self) -> String {
        self.serial.transcript()
    }

    /// The emulator's exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended()
    }

    /// Waits for the machine to end by itself, at most so long; the serial port is read on.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + timeout.mul_f64(patience());
        loop {
            let got_some = self.serial.receive(Duration::from_millis(50));
            if let Some(status) = self.child.ended() {
                while self.serial.receive(Duration::from_millis(50)) {}
                return Some(status);
            }
            if !got_some {
                std::thread::sleep(Duration::from_millis(20));
            }
            if Instant::now() >= until {
                return None;
            }
        }
    }

    /// Ends the machine now.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Paths of its logs.
    pub fn logs(&self) -> &[PathBuf] {
        &self.logs
    }

    /// The last lines of the serial port and of the emulator's own log.
    pub fn diagnosis(&self) -> String {
        let mut text = format!(
            "--- serial, last lines ---\n{}\n",
            tail(&self.serial.transcript(), 40)
        );
        for log in self.logs.iter().skip(1) {
            let words =
                std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if let Some(words) = words.ok().filter(|words| !words.trim().is_empty()) {
                text += &format!(
                    "--- {}, last lines ---\n{}\n",
                    crate::paths::shown(log),
                    tail(&words, 15)
                );
            }
        }
        text
    }

    /// True if the emulator is gone and all it said has been taken in.
    fn has_drained_after_end(&mut self) -> bool {
        if self.child.ended().is_none() {
            return false;
        }
        while self.serial.receive(Duration::from_millis(100)) {}
        true
    }
}

/// How much longer than planned to wait: `CAISSON_PATIENCE`, 1 by default.
pub fn patience() -> f64 {
    std::env::var("CAISSON_PATIENCE")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|factor| *factor > 0.0)
        .unwrap_or(1.0)
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Gives a machine its own name for a shared image, for emulators that put locks and change files beside it.
fn link_image(image: &Path, into: &Path) -> Result<PathBuf> {
    let link = into.join("disk.img");
    std::os::unix::fs::symlink(std::fs::canonicalize(image)?, &link)?;
    Ok(link)
}
