//! Children we own: whatever way xtask ends, they end with it, and scratch folders go too.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Owned {
    children: Vec<i32>,
    folders: Vec<PathBuf>,
}

static OWNED: Mutex<Owned> = Mutex::new(Owned {
    children: Vec::new(),
    folders: Vec::new(),
});

fn owned() -> MutexGuard<'static, Owned> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes Ctrl-C, SIGTERM, SIGHUP and a panic end our children and restore the terminal first. Call once, early.
pub fn clean_up_on_exit() {
    // A second call (a library user that calls it too) fails harmlessly: the first handler stays.
    let _ = ctrlc::set_handler(|| exit(130));
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        crate::terminal::restore();
        report(info);
        clean_up();
    }));
}

/// Ends the process with this status after cleaning up.
pub fn exit(status: i32) -> ! {
    crate::terminal::restore();
    clean_up();
    std::process::exit(status);
}

fn clean_up() {
    let mut owned = owned();
    for pid in owned.children.drain(..) {
        // Already gone is as good.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for folder in owned.folders.drain(..) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A command for an emulator, with a clean environment: `PATH`, `HOME` and a place for scratch files, nothing else.
///
/// What a desktop leaves there changes what an emulator does: Bochs looks for a sound card, and ends with "buffer overflow detected"
/// where there is none.
pub fn emulator(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A running emulator or tool; killed and reaped when dropped.
#[derive(Debug)]
pub struct OwnedChild {
    child: Child,
}

impl OwnedChild {
    /// Starts `command` in a process group of its own, so that a Ctrl-C meant for us does not reach it first.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let child = command.process_group(0).spawn()?;
        owned().children.push(child.id().cast_signed());
        Ok(Self { child })
    }

    /// The child, to take its pipes.
    pub fn inner(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for it to end, at most so long.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        let pid = self.child.id().cast_signed();
        self.kill();
        owned().children.retain(|other| *other != pid);
    }
}

/// A scratch folder that disappears when dropped, and on every other way out.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one below `target/scratch/`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let parent = crate::paths::target_dir("scratch")?;
        let path = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(parent)?
            .keep();
        owned().folders.push(path.clone());
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
        owned().folders.retain(|other| *other != self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_inherits_nothing_but_the_path_and_home() {
        // Cargo sets dozens of its own variables for a test, so there is something to leave out.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let out = emulator("env").output().unwrap();
        let names: Vec<String> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect();
        assert!(names.contains(&"PATH".to_owned()));
        assert!(
            names
                .iter()
                .all(|name| ["PATH", "HOME", "TMPDIR"].contains(&name.as_str())),
            "{names:?}"
        );
    }
}
