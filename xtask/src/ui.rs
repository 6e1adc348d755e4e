//! Progress on the terminal: a spinner or bar with elapsed time; plain lines where nobody watches.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// True if somebody watches: standard error is a terminal and this is not CI.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && !is_ci()
}

/// True in continuous integration (`CI` set to anything but nothing, `0` or `false`).
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Says one line on standard error.
pub fn say(line: impl AsRef<str>) {
    eprintln!("{}", line.as_ref());
}

/// Something that takes a while. Dropped without [`Step::done`], it shows as failed.
pub struct Step {
    label: String,
    began: Instant,
    bar: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    /// Starts a step without a known size: a spinner.
    pub fn start(label: impl Into<String>) -> Self {
        Self::new(label.into(), None)
    }

    /// Starts a step over `total` bytes: a bar.
    pub fn bytes(label: impl Into<String>, total: u64) -> Self {
        Self::new(label.into(), Some(total))
    }

    fn new(label: String, total: Option<u64>) -> Self {
        let bar = is_watched().then(|| match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "{spinner} {prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}",
            )),
            None => ProgressBar::new_spinner()
                .with_style(style("{spinner} {prefix} {elapsed}  {wide_msg}")),
        });
        match &bar {
            Some(bar) => {
                bar.set_prefix(label.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            None => say(format!("{label} ...")),
        }
        Self {
            label,
            began: Instant::now(),
            bar,
            finished: false,
        }
    }

    /// Shows what the step is busy with; only a watcher sees it.
    pub fn busy_with(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.trim().to_owned());
        }
    }

    /// Moves the bar on by so many bytes.
    pub fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// Ends the step; `result` is a few words, or nothing.
    pub fn done(mut self, result: &str) {
        self.finish("done", result);
    }

    fn finish(&mut self, word: &str, result: &str) {
        self.finished = true;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.began.elapsed().as_secs_f32();
        let gap = if result.is_empty() { "" } else { ": " };
        say(format!(
            "{} {word}{gap}{result} ({seconds:.1} s)",
            self.label
        ));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.finish("FAILED", "");
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}
