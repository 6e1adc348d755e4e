//! The command line: an editor with history, and what it lacks: more keys, and names of VMs completed.

use super::advice::{explain, own_help};
use super::orders::Order;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use embedded_cli::cli::{Cli, CliBuilder, CliHandle};
use embedded_cli::command::RawCommand;
use embedded_cli::service::{CommandProcessor, FromRaw, Help, ProcessError};
use spin::Mutex;
use terminal::Key;

/// Longest command line.
const COMMAND_BYTES: usize = 128;
/// How much of the past can be called back.
const HISTORY_BYTES: usize = 1024;
/// What an operator sees.
pub(super) const PROMPT: &str = "caisson> ";

/// What the editor understands.
const ENTER: &[u8] = b"\r";
const BACKSPACE: &[u8] = b"\x08";
const UP: &[u8] = b"\x1b[A";
const DOWN: &[u8] = b"\x1b[B";
const RIGHT: &[u8] = b"\x1b[C";
const LEFT: &[u8] = b"\x1b[D";

/// What the shell has to say, until the console has room for it: nothing of an answer is lost.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<u8>,
    /// Goes here instead, while somebody only wants to know what would be written.
    captured: Option<Vec<u8>>,
}

impl Outbox {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match &mut self.captured {
            Some(captured) => captured.extend(bytes),
            None => self.waiting.extend(bytes),
        }
    }

    /// As text: lines get the ends a terminal wants.
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

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether what waits is less than a screenful.
    pub(super) fn is_small(&self) -> bool {
        self.waiting.len() < 512
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes at most so many bytes.
    pub(super) fn take(&mut self, limit: usize) -> Vec<u8> {
        let count = limit.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }
}

pub(super) type SharedOutbox = Arc<Mutex<Outbox>>;

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

/// What a command line completes to.
pub(super) trait Names {
    /// What may stand behind these words of the line.
    fn candidates(&self, words: &[&str]) -> Vec<String>;
}

/// The command line.
pub(super) struct Line {
    editor: Editor,
    outbox: SharedOutbox,
}

impl Line {
    /// An empty line with its prompt, which is written.
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

    /// Takes a key. `carry_out` gets a whole command and returns its answer.
    pub(super) fn key(&mut self, key: Key, names: &dyn Names, carry_out: CarryOut<'_>) {
        match key {
            Key::Enter => self.enter(carry_out),
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

    fn enter(&mut self, carry_out: CarryOut<'_>) {
        self.captured(|line| {
            line.repeat(RIGHT);
        });
        let typed = self.before_cursor();
        let Some(answer) = own_help(&typed) else {
            return self.give_enter(carry_out);
        };
        self.captured(|line| line.give_enter(carry_out));
        let mut outbox = self.outbox.lock();
        outbox.write(b"\r\n");
        outbox.write_text(&answer);
        outbox.write(PROMPT.as_bytes());
    }

    fn give_enter(&mut self, carry_out: CarryOut<'_>) {
        let mut processor = Processor {
            outbox: self.outbox.clone(),
            carry_out,
        };
        // Neither the writer nor the processor fails.
        for byte in ENTER {
            let _ = self
                .editor
                .process_byte::<Order<'_>, _>(*byte, &mut processor);
        }
    }

    /// Gives the editor bytes that end no line. Returns whether it wrote anything: that is, whether it did something.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        let len = |line: &Self| {
            let outbox = line.outbox.lock();
            outbox
                .captured
                .as_ref()
                .map_or(outbox.waiting.len(), Vec::len)
        };
        let before = len(self);
        for byte in bytes {
            let _ = self.editor.process_byte::<Order<'_>, _>(
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
        self.outbox.lock().captured = Some(Vec::new());
        work(self);
        self.outbox.lock().captured.take().unwrap_or_default()
    }

    /// How many symbols are behind the cursor.
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

    /// The line up to the cursor.
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
        let fitting: Vec<String> = if words.is_empty() {
            commands()
        } else {
            names.candidates(&words)
        }
        .into_iter()
        .filter(|name| name.starts_with(start))
        .collect();
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

/// Carries a command out and returns its answer. Not a type parameter: all of the editor would be there once for each vendor.
type CarryOut<'a> = &'a mut dyn FnMut(&Order<'_>) -> String;

/// Takes commands apart and has them carried out.
struct Processor<'a> {
    outbox: SharedOutbox,
    carry_out: CarryOut<'a>,
}

impl CommandProcessor<Writer, Infallible> for Processor<'_> {
    fn process<'a>(
        &mut self,
        _: &mut CliHandle<'_, Writer, Infallible>,
        raw: RawCommand<'a>,
    ) -> Result<(), ProcessError<'a, Infallible>> {
        let name = raw.name();
        let has_more = raw.args().args().next().is_some();
        let answer = match Order::parse(raw) {
            // The parser passes over what it was not told to expect, and `reboot VM` must not reset the machine.
            Ok(order) if has_more && order.stands_alone() => {
                format!("{name} stands alone; `help {name}` shows what it does\n")
            }
            Ok(order) => (self.carry_out)(&order),
            Err(error) => explain(name, &error),
        };
        self.outbox.lock().write_text(&answer);
        Ok(())
    }
}

/// The names of all commands, as `help` lists them.
pub(super) fn commands() -> Vec<String> {
    let outbox = SharedOutbox::default();
    let mut writer = Writer(outbox.clone());
    // The writer cannot fail.
    let _ = Order::list_commands(&mut embedded_cli::writer::Writer::new(&mut writer));
    let bytes = outbox.lock().take(usize::MAX);
    let text = String::from_utf8(bytes).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .map(String::from)
        .collect()
}
