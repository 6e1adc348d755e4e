//! The shell's output, until the console has room for it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use spin::Mutex;

/// The room that stays for what the shell writes, between answers.
const KEPT_BYTES: usize = 1024;

/// The shell's output, until the console has room for it: nothing of an answer is lost.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<u8>,
    /// Takes the output instead, while only its text is of interest.
    captured: Option<Vec<u8>>,
}

impl Outbox {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match &mut self.captured {
            Some(captured) => captured.extend(bytes),
            None => self.waiting.extend(bytes),
        }
    }

    /// Writes text: lines get the ends that a terminal wants.
    pub(super) fn write_text(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    self.write(line.as_bytes());
                    self.write(b"\r\n");
                }
                None => self.write(line.as_bytes()),
            }
        }
    }

    /// Lets what is written from now on go nowhere.
    pub(super) fn capture(&mut self) {
        self.captured = Some(Vec::new());
    }

    /// Ends that; returns what was written meanwhile.
    pub(super) fn end_capture(&mut self) -> Vec<u8> {
        self.captured.take().unwrap_or_default()
    }

    /// Returns how much has been written where writing goes now.
    pub(super) fn len(&self) -> usize {
        self.captured.as_ref().map_or(self.waiting.len(), Vec::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns whether less than a screenful waits.
    pub(super) fn is_small(&self) -> bool {
        self.waiting.len() < 512
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes at most so many bytes.
    pub(super) fn take(&mut self, limit: usize) -> Vec<u8> {
        let count = limit.min(self.waiting.len());
        let taken = self.waiting.drain(..count).collect();
        if self.waiting.is_empty() {
            // A long answer does not keep its room.
            self.waiting.shrink_to(KEPT_BYTES);
        }
        taken
    }
}

impl fmt::Write for Outbox {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_text(text);
        Ok(())
    }
}

pub(super) type SharedOutbox = Arc<Mutex<Outbox>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gets_the_ends_of_lines_that_a_terminal_wants() {
        let mut outbox = Outbox::default();
        outbox.write_text("a\n\nb");
        assert_eq!(outbox.take(usize::MAX), b"a\r\n\r\nb");
    }

    #[test]
    fn a_long_answer_does_not_keep_its_room() {
        let mut outbox = Outbox::default();
        outbox.write(&[b'x'; 50_000]);
        assert_eq!(outbox.take(49_999).len(), 49_999);
        assert_eq!(outbox.take(49_999), b"x");
        assert!(outbox.is_empty());
        assert!(outbox.waiting.capacity() < 2 * KEPT_BYTES);
    }

    #[test]
    fn what_is_captured_does_not_go_out() {
        let mut outbox = Outbox::default();
        outbox.write(b"a");
        outbox.capture();
        outbox.write(b"b");
        assert_eq!(outbox.len(), 1);
        assert_eq!(outbox.end_capture(), b"b");
        assert_eq!(outbox.take(9), b"a");
    }
}
