//! A machine that runs, with what is asked of it in the words of the hypervisor.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use xtask::bed::Machine;
use xtask::image::Spec;
use xtask::procs::Scratch;

use crate::beds::{Bed, Shape};

/// The operator's prompt.
pub const PROMPT: &str = "caisson> ";
/// What the hypervisor says last when all VMs have ended.
pub const ALL_ENDED: &str = "all VMs have ended; powering off";
/// The hypervisor's own last words begin so.
pub const PANIC: &str = "*** caisson panicked";
/// The loader waits so after an error.
pub const LOADER_WAITS: &str = "Press any key to return to the firmware.";
/// Ctrl-], which leads to the operator's prompt and back.
const ESCAPE: &str = "\x1d";

/// A running machine and its image.
pub struct TestMachine {
    /// Where it runs.
    pub bed: Bed,
    /// The machine.
    pub machine: Machine,
    // Dropped after the machine that reads it.
    _image: Scratch,
}

impl TestMachine {
    /// Makes the image and starts the machine.
    ///
    /// # Errors
    /// The image cannot be made or the emulator not started.
    pub fn start(bed: Bed, log_name: &str, image: &Spec, shape: Shape) -> Result<Self> {
        let scratch = Scratch::new("image")?;
        let path = scratch.path().join("caisson.img");
        xtask::image::build(image, &path)?;
        let machine = bed.start(log_name, &path, shape)?;
        Ok(Self {
            bed,
            machine,
            _image: scratch,
        })
    }

    /// Waits for `text` as long as something may take that takes `qemu_s` seconds at most in QEMU.
    ///
    /// # Errors
    /// Not said in time, the machine ended, the loader refused or the hypervisor panicked.
    pub fn expect(&mut self, text: &str, qemu_s: u64) -> Result<String> {
        self.expect_any(&[text], qemu_s).map(|(_, found)| found)
    }

    /// As [`TestMachine::expect`] for the first of several texts; says which.
    ///
    /// # Errors
    /// As [`TestMachine::expect`].
    pub fn expect_any(&mut self, texts: &[&str], qemu_s: u64) -> Result<(usize, String)> {
        let timeout = self.bed.patience(qemu_s);
        let mut all = texts.to_vec();
        all.extend([PANIC, LOADER_WAITS]);
        let (which, found) = self.machine.expect_any(&all, timeout)?;
        if which >= texts.len() {
            let wanted = texts.join("` or `");
            bail!("no `{wanted}` but\n{}", self.last_words());
        }
        Ok((which, found))
    }

    /// What is on the serial port when nothing more will come.
    pub fn last_words(&mut self) -> String {
        // The rest of an epitaph needs a moment.
        let patience = self.bed.patience(1);
        while let Ok(Some(_)) = self.machine.next_line(patience) {}
        self.machine.diagnosis()
    }

    /// Types a line, slowly enough for a 16-byte FIFO nobody empties in time.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        for piece in line.as_bytes().chunks(8) {
            self.machine.send(&String::from_utf8_lossy(piece))?;
            std::thread::sleep(Duration::from_millis(40));
        }
        self.machine.send("\r")
    }

    /// Opens the operator's prompt.
    ///
    /// # Errors
    /// It does not come.
    pub fn open_prompt(&mut self) -> Result<()> {
        self.machine.send(ESCAPE)?;
        self.expect("Ctrl-] goes back.", 10)?;
        self.expect(PROMPT, 10).map(|_| ())
    }

    /// Gives the console back to its VM.
    ///
    /// # Errors
    /// The hypervisor does not say so.
    pub fn close_prompt(&mut self) -> Result<()> {
        self.machine.send(ESCAPE)?;
        self.expect("console of vm ", 10).map(|_| ())
    }

    /// Gives the operator's prompt a command; returns what it printed, without the command itself.
    ///
    /// # Errors
    /// No prompt comes back.
    pub fn order(&mut self, command: &str) -> Result<String> {
        self.type_line(command)?;
        // The command is shown as it is typed, and once more, as a whole, behind each line of somebody else's that comes
        // meanwhile. So its prompt, too, may come again, but not with the line end.
        self.expect(&format!("{command}\r\n"), 15)?;
        let answer = self.expect(PROMPT, 15)?;
        Ok(answer
            .strip_suffix(PROMPT)
            .unwrap_or(&answer)
            .replace('\r', ""))
    }

    /// Gives a command and makes sure that its answer holds `wanted`.
    ///
    /// # Errors
    /// It does not.
    pub fn order_says(&mut self, command: &str, wanted: &str) -> Result<String> {
        let answer = self.order(command)?;
        ensure!(
            answer.contains(wanted),
            "`{command}` should say `{wanted}` and said:\n{answer}"
        );
        Ok(answer)
    }

    /// Waits until the machine is off, after it has said that it powers off.
    ///
    /// # Errors
    /// The emulator runs on. Bochs does not end by itself: what the hypervisor said must do there.
    pub fn is_off(&mut self) -> Result<()> {
        if !self.bed.ends_by_itself() {
            return Ok(());
        }
        match self.machine.wait(Duration::from_secs(15)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the emulator ended with {status}"),
            None => bail!(
                "said that it powers off, and runs on\n{}",
                self.machine.diagnosis()
            ),
        }
    }

    /// Runs a part of a story; if it fails, the operator's prompt is asked what the VMs are doing.
    ///
    /// # Errors
    /// Those of `part`, with the answers.
    pub fn play<T>(
        &mut self,
        vms: &[&str],
        part: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        part(self).map_err(|error| match self.ask_around(vms) {
            Some(answers) => anyhow!("{error:#}\n--- the operator's prompt says ---\n{answers}"),
            None => anyhow!("{error:#}\n(the operator's prompt does not answer)"),
        })
    }

    fn ask_around(&mut self, vms: &[&str]) -> Option<String> {
        if self.machine.ended().is_some() {
            return None;
        }
        // At the prompt already, the key would lead away from it: an empty line shows it again.
        self.machine.send("\r").ok()?;
        let began = Instant::now();
        while self
            .machine
            .next_line(Duration::from_millis(300))
            .ok()?
            .is_some()
            && began.elapsed() < Duration::from_secs(3)
        {}
        if self.machine.expect(PROMPT, Duration::from_secs(1)).is_err() {
            self.machine.send(ESCAPE).ok()?;
            self.machine.expect(PROMPT, Duration::from_secs(10)).ok()?;
        }
        let mut text = self.order("vms").ok()?;
        for vm in vms {
            text += &self.order(&format!("info {vm}")).unwrap_or_default();
        }
        Some(text)
    }
}
