//! The command line: an editor with history, and what it lacks: more keys, and names of VMs
//! completed.

use super::help::HELP;
use super::outbox::SharedOutbox;
use crate::command::{COMMANDS, Kind, info};
use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use embedded_cli::arguments::Arg;
use embedded_cli::cli::{Cli, CliBuilder};
use embedded_cli::command::RawCommand;
use terminal::Key;

/// Longest command line.
const COMMAND_BYTES: usize = 128;
/// The most bytes of earlier lines that can be called back.
const HISTORY_BYTES: usize = 1024;
/// The prompt.
pub(super) const PROMPT: &str = "caisson> ";

/// The keys, as the editor understands them.
const ENTER: &[u8] = b"\r";
const BACKSPACE: &[u8] = b"\x08";
const UP: &[u8] = b"\x1b[A";
const DOWN: &[u8] = b"\x1b[B";
const RIGHT: &[u8] = b"\x1b[C";
const LEFT: &[u8] = b"\x1b[D";

struct Writer(SharedOutbox);

impl embedded_io::ErrorType for Writer {
    type Error = Infallible;
}

impl embedded_io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.lock().write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Editor = Cli<Writer, Infallible, [u8; COMMAND_BYTES], [u8; HISTORY_BYTES]>;

/// The names that an argument completes to.
pub(super) trait Names {
    /// Returns what an argument of this kind may be, behind the word `before`.
    fn candidates(&self, kind: Kind, before: &str) -> Vec<String>;
}

/// A line that was typed, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entered {
    /// The first word; empty if there is none.
    pub(super) name: String,
    /// The others, options apart.
    pub(super) words: Vec<String>,
    /// Set if there are options.
    pub(super) has_options: bool,
    /// Set if one of them asks for help.
    pub(super) asks_help: bool,
}

impl Entered {
    fn new(raw: &RawCommand<'_>) -> Self {
        let mut entered = Self {
            name: raw.name().into(),
            ..Self::default()
        };
        for argument in raw.args().args() {
            match argument {
                Ok(Arg::Value(word)) => entered.words.push(word.into()),
                Ok(Arg::DoubleDash) => {}
                Ok(Arg::LongOption("help") | Arg::ShortOption('h')) => {
                    entered.has_options = true;
                    entered.asks_help = true;
                }
                Ok(Arg::LongOption(_) | Arg::ShortOption(_)) | Err(_) => {
                    entered.has_options = true;
                }
            }
        }
        entered
    }
}

/// The command line.
pub(super) struct Line {
    editor: Editor,
    outbox: SharedOutbox,
}

impl Line {
    /// Opens an empty line and writes its prompt.
    pub(super) fn new(outbox: &SharedOutbox) -> Option<Self> {
        let editor = CliBuilder::default()
            .writer(Writer(outbox.clone()))
            .command_buffer([0; COMMAND_BYTES])
            .history_buffer([0; HISTORY_BYTES])
            .prompt(PROMPT)
            .build()
            .ok()?;
        Some(Self {
            editor,
            outbox: outbox.clone(),
        })
    }

    /// Takes a key; returns the line that it ends. What is answered to it goes below, before
    /// [`Line::prompt`].
    pub(super) fn key(&mut self, key: Key, names: &dyn Names) -> Option<Entered> {
        match key {
            Key::Enter => return Some(self.enter()),
            Key::Symbol(symbol) => {
                self.feed(symbol.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Key::Tab => self.complete(names),
            Key::Backspace | Key::Control('h') => {
                self.feed(BACKSPACE);
            }
            Key::Delete | Key::Control('d') => {
                if self.feed(RIGHT) {
                    self.feed(BACKSPACE);
                }
            }
            Key::Up | Key::Control('p') => {
                self.feed(UP);
            }
            Key::Down | Key::Control('n') => {
                self.feed(DOWN);
            }
            Key::Left | Key::Control('b') => {
                self.feed(LEFT);
            }
            Key::Right | Key::Control('f') => {
                self.feed(RIGHT);
            }
            Key::Home | Key::Control('a') => {
                self.repeat(LEFT);
            }
            Key::End | Key::Control('e') => {
                self.repeat(RIGHT);
            }
            Key::Control('u') => {
                self.repeat(BACKSPACE);
            }
            Key::Control('k') => {
                for _ in 0..self.repeat(RIGHT) {
                    self.feed(BACKSPACE);
                }
            }
            Key::Control('w') => {
                let before = self.before_cursor();
                let kept = before.trim_end();
                let kept = kept.rfind(' ').map_or(0, |at| at + 1);
                for _ in before.get(kept..).unwrap_or_default().chars() {
                    self.feed(BACKSPACE);
                }
            }
            Key::Control('c') => {
                self.captured(|line| {
                    line.repeat(RIGHT);
                    line.repeat(BACKSPACE);
                });
                self.outbox.lock().write(b"^C\r\n");
                self.show();
            }
            Key::Control('l') => {
                self.outbox.lock().write(b"\x1b[H\x1b[2J");
                self.show();
            }
            Key::Control(_)
            | Key::Escape
            | Key::Insert
            | Key::PageUp
            | Key::PageDown
            | Key::Function(_) => {}
        }
        None
    }

    /// Shows prompt and line again, where the cursor is.
    pub(super) fn show(&mut self) {
        let after = self.after_cursor();
        // The writer cannot fail.
        let _ = self.editor.write(|_| Ok(()));
        let mut outbox = self.outbox.lock();
        for _ in 0..after {
            outbox.write(LEFT);
        }
    }

    /// Shows the prompt of the next line.
    pub(super) fn prompt(&self) {
        self.outbox.lock().write(PROMPT.as_bytes());
    }

    fn enter(&mut self) -> Entered {
        let mut entered = Entered::default();
        // What the editor writes is the end of the line and the next prompt, which is too early.
        self.captured(|line| {
            let mut processor = RawCommand::processor(|_, raw| {
                entered = Entered::new(&raw);
                Ok::<(), Infallible>(())
            });
            for byte in ENTER {
                // Neither the writer nor the processor fails.
                let _ = line
                    .editor
                    .process_byte::<RawCommand<'_>, _>(*byte, &mut processor);
            }
        });
        self.outbox.lock().write(b"\r\n");
        entered
    }

    /// Gives the editor bytes that end no line. Returns whether it wrote anything: that is, whether
    /// it did something.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        let len = |line: &Self| line.outbox.lock().len();
        let before = len(self);
        for byte in bytes {
            let _ = self.editor.process_byte::<RawCommand<'_>, _>(
                *byte,
                &mut RawCommand::processor(|_, _| Ok::<(), Infallible>(())),
            );
        }
        len(self) != before
    }

    /// Gives the editor bytes as often as they do something; returns how often they did.
    fn repeat(&mut self, bytes: &[u8]) -> usize {
        (0..COMMAND_BYTES).take_while(|_| self.feed(bytes)).count()
    }

    /// Lets `work` write nowhere; returns what it would have written.
    fn captured(&mut self, work: impl FnOnce(&mut Self)) -> Vec<u8> {
        self.outbox.lock().capture();
        work(self);
        self.outbox.lock().end_capture()
    }

    /// Returns how many symbols are behind the cursor.
    fn after_cursor(&mut self) -> usize {
        let mut after = 0;
        self.captured(|line| {
            after = line.repeat(RIGHT);
            for _ in 0..after {
                line.feed(LEFT);
            }
        });
        after
    }

    /// Returns the line up to the cursor.
    fn before_cursor(&mut self) -> String {
        let after = self.after_cursor();
        let shown = self.captured(|line| {
            let _ = line.editor.write(|_| Ok(()));
        });
        let shown = String::from_utf8(shown).unwrap_or_default();
        let line = shown.split_once(PROMPT).map_or("", |(_, line)| line);
        let count = line.chars().count() - after.min(line.chars().count());
        line.chars().take(count).collect()
    }

    /// Completes the word before the cursor, or shows what it could become.
    fn complete(&mut self, names: &dyn Names) {
        let before = self.before_cursor();
        let mut words: Vec<&str> = before.split_whitespace().collect();
        let start = if before.ends_with(' ') || before.is_empty() {
            ""
        } else {
            words.pop().unwrap_or_default()
        };
        let mut fitting = candidates(&words, names);
        fitting.retain(|name| name.starts_with(start));
        let Some(first) = fitting.first() else { return };
        let common = fitting.iter().fold(first.len(), |len, name| {
            let pairs = first.bytes().zip(name.bytes());
            pairs.take_while(|(a, b)| a == b).count().min(len)
        });
        let more = first.get(start.len()..common).unwrap_or_default();
        let is_only = fitting.len() == 1;
        if more.is_empty() && !is_only {
            let mut text = String::from("\n");
            for name in &fitting {
                text.push_str(name);
                text.push_str("  ");
            }
            text.push('\n');
            self.outbox.lock().write_text(&text);
            self.show();
            return;
        }
        let more = String::from(more);
        self.feed(more.as_bytes());
        if is_only {
            self.feed(b" ");
        }
    }
}

/// Returns what may stand behind these words.
fn candidates(words: &[&str], names: &dyn Names) -> Vec<String> {
    let commands = || COMMANDS.iter().map(|info| info.name.into()).collect();
    match words {
        [] | [HELP] => commands(),
        [name, others @ ..] => info(name)
            .and_then(|info| info.arguments.get(others.len()))
            .zip(words.last())
            .map_or(Vec::new(), |(argument, before)| {
                names.candidates(argument.kind, before)
            }),
    }
}
