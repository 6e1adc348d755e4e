//! Whole lines from a serial port that several write to.
//!
//! A message of the hypervisor may come in the middle of a guest's line. It is taken out, and the two halves are joined again.

/// Puts lines together.
#[derive(Debug, Default)]
pub struct Lines {
    half: String,
}

impl Lines {
    /// Takes a line as it came; returns the whole lines it completes.
    pub fn take(&mut self, raw: &str) -> Option<String> {
        match stamp_in(raw) {
            Some(at) => {
                self.half += raw.get(..at).unwrap_or_default();
                raw.get(at..).map(str::to_owned)
            }
            None => Some(std::mem::take(&mut self.half) + raw),
        }
    }
}

/// Where a message of the hypervisor begins: `[  1.234567] info  …`.
fn stamp_in(line: &str) -> Option<usize> {
    const LEVELS: [&str; 5] = ["error ", "warn  ", "info  ", "debug ", "trace "];
    line.match_indices('[').map(|(at, _)| at).find(|at| {
        let rest = line.get(at + 1..).unwrap_or_default();
        rest.split_once("] ").is_some_and(|(stamp, message)| {
            is_stamp(stamp) && LEVELS.iter().any(|level| message.starts_with(level))
        })
    })
}

fn is_stamp(text: &str) -> bool {
    text.trim_start()
        .split_once('.')
        .is_some_and(|(seconds, rest)| {
            !seconds.is_empty()
                && rest.len() == 6
                && [seconds, rest]
                    .iter()
                    .all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_inside_a_line_is_taken_out() {
        let mut lines = Lines::default();
        let message = "[  1.259109] info  vmm: vm xapic: stopped";
        assert_eq!(
            lines
                .take(&format!("[xapic] verdict xapic: f{message}"))
                .as_deref(),
            Some(message)
        );
        assert_eq!(
            lines.take("ail why").as_deref(),
            Some("[xapic] verdict xapic: fail why")
        );
    }

    #[test]
    fn other_brackets_are_left_alone() {
        let mut lines = Lines::default();
        let kernel = "[    0.123456] ACPI: information";
        assert_eq!(lines.take(kernel).as_deref(), Some(kernel));
    }
}
