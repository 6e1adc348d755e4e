//! Running other programs: their words are shown only when something goes wrong.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::ui::Step;

/// Lines of a failed program's output that are worth showing.
const TAIL_LINES: usize = 400;

/// The program's path if it is in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // /usr/sbin is not in every user's PATH, but some tools live there.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// A command as one would type it, for messages.
pub fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command, returns its standard output as text.
///
/// # Errors
/// It cannot be started or fails; the error holds what it said on standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let bytes = output_bytes(command)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a command, returns its standard output.
///
/// # Errors
/// As [`output`].
pub fn output_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let line = shown(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting `{line}`"))?;
    if !out.status.success() {
        bail!(
            "`{line}` failed ({}):\n{}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(out.stdout)
}

/// Runs a command under a spinner that shows its latest line; standard output is returned.
///
/// # Errors
/// It cannot be started or fails; then everything it said on standard error is printed first.
pub fn watched(label: &str, command: &mut Command) -> Result<String> {
    let line = shown(command);
    let step = Step::start(label);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{line}`"))?;
    let stdout = child.stdout.take().context("the child's standard output")?;
    let stderr = child.stderr.take().context("the child's standard error")?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // A broken pipe only shortens what we show.
        let _ = BufReader::new(stdout).read_to_end(&mut text);
        text
    });
    let mut tail = VecDeque::new();
    for text in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&text).into_owned();
        step.busy_with(&text);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
    let status = child.wait()?;
    let text = String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
    if !status.success() {
        drop(step);
        for line in &tail {
            eprintln!("{line}");
        }
        bail!("`{line}` failed ({status})");
    }
    // Warnings of a build that worked are worth a look.
    if tail.iter().any(|line| line.starts_with("warning")) {
        for line in tail
            .iter()
            .filter(|line| !line.trim_start().starts_with("Compiling"))
        {
            eprintln!("{line}");
        }
    }
    step.done("");
    Ok(text)
}
