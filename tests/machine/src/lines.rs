//! Whole lines from a serial port that several write to.
//!
//! A line of somebody else's may come in the middle of one. What was there is wiped from the screen, and shown again behind it.

/// Wipes a line.
const WIPE: &str = "\x1b[K";

/// What is left on the screen of a line as it came.
#[must_use]
pub fn shown(raw: &str) -> &str {
    raw.rsplit_once(WIPE).map_or(raw, |(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wiped_is_not_seen() {
        let message = "[  1.259109] info  vmm: vm xapic: stopped";
        assert_eq!(shown(&format!("login: ro\r\x1b[K{message}")), message);
        assert_eq!(shown(message), message);
    }
}
