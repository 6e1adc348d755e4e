//! A machine's serial port as text that can be searched, with a log on disk.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// The end one types on.
#[derive(Clone)]
pub struct Keys(Arc<Mutex<Box<dyn Write + Send>>>);

impl Keys {
    /// Sends bytes to the machine.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(bytes)
            .and_then(|()| to.flush())
            .context("typing on the machine's serial port")
    }
}

/// Both directions of a serial port.
pub struct Serial {
    keys: Keys,
    chunks: Receiver<Vec<u8>>,
    text: Vec<u8>,
    /// What lies before was found by an earlier search.
    searched: usize,
    /// What lies before was handed out by [`Serial::fresh`].
    shown: usize,
}

impl Serial {
    /// Reads `from` in a thread, logging every byte to `log`; keys go to `to`.
    pub(super) fn new(
        mut from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        log: &Path,
    ) -> Result<Self> {
        let mut log = File::create(log).with_context(|| format!("writing {}", log.display()))?;
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                let chunk = buffer[..len].to_vec();
                // A full disk must not stop the machine.
                let _ = log.write_all(&chunk);
                if sender.send(chunk).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            keys: Keys(Arc::new(Mutex::new(Box::new(to)))),
            chunks,
            text: Vec::new(),
            searched: 0,
            shown: 0,
        })
    }

    pub(super) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Takes in what arrives within `timeout`; false if nothing did.
    pub(super) fn receive(&mut self, timeout: Duration) -> bool {
        match self.chunks.recv_timeout(timeout) {
            Ok(chunk) => {
                self.text.extend(chunk);
                while let Ok(chunk) = self.chunks.try_recv() {
                    self.text.extend(chunk);
                }
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                // The port is closed; the emulator may still be busy ending.
                std::thread::sleep(timeout.min(Duration::from_millis(20)));
                false
            }
        }
    }

    /// Finds the first of `texts` behind the last find, and moves behind it.
    pub(super) fn take_until(&mut self, texts: &[&str]) -> Option<(usize, String)> {
        let rest = &self.text[self.searched..];
        let (index, end) = texts
            .iter()
            .enumerate()
            .filter_map(|(index, text)| Some((index, find(rest, text.as_bytes())? + text.len())))
            .min_by_key(|(_, end)| *end)?;
        let found = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.searched += end;
        Some((index, found))
    }

    /// The next whole line behind the last find.
    pub(super) fn take_line(&mut self) -> Option<String> {
        let rest = &self.text[self.searched..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end])
            .trim_end_matches('\r')
            .to_owned();
        self.searched += end + 1;
        Some(line)
    }

    pub(super) fn fresh(&mut self, timeout: Duration) -> Vec<u8> {
        if self.shown == self.text.len() {
            self.receive(timeout);
        }
        let fresh = self.text[self.shown..].to_vec();
        self.shown = self.text.len();
        fresh
    }

    pub(super) fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(said: &'static [u8]) -> Serial {
        let dir = tempfile::tempdir().unwrap();
        let mut serial = Serial::new(said, std::io::sink(), &dir.path().join("log")).unwrap();
        while serial.receive(Duration::from_millis(100)) {}
        serial
    }

    #[test]
    fn the_earliest_of_several_texts_is_found() {
        let mut serial = serial(b"one two three");
        assert_eq!(
            serial.take_until(&["three", "two"]),
            Some((1, "one two".to_owned()))
        );
        assert_eq!(serial.take_until(&["one"]), None);
        assert_eq!(
            serial.take_until(&["three"]),
            Some((0, " three".to_owned()))
        );
    }

    #[test]
    fn half_a_line_is_no_line() {
        let mut serial = serial(b"first\r\nsec");
        assert_eq!(serial.take_line().as_deref(), Some("first"));
        assert_eq!(serial.take_line(), None);
    }
}
