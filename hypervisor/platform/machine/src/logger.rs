//! The `log` crate's way to serial and screen: `[  1.234567] info  part: text`.

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicPtr, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::{Mutex, Once};
use time::Clock;

use crate::console;

static CLOCK: Once<Clock> = Once::new();
static SINK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// The last messages; its lock also keeps lines whole.
static TAIL: Mutex<Tail> = Mutex::new(Tail {
    bytes: [0; TAIL_BYTES],
    next: 0,
    is_full: false,
});

const TAIL_BYTES: usize = 16 << 10;

/// A ring of text.
struct Tail {
    bytes: [u8; TAIL_BYTES],
    next: usize,
    is_full: bool,
}

struct Logger;

static LOGGER: Logger = Logger;

/// A taker of finished log lines, each with its newline.
pub type Sink = fn(&str);

/// Starts logging, at level info.
pub(crate) fn start() {
    // An error means that it was started before, which is as good.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Info);
}

/// From now on lines carry the time.
pub(crate) fn set_clock(clock: Clock) {
    CLOCK.call_once(|| clock);
}

/// From now on log lines go to `sink` instead of straight to serial and screen; pieces of a line may come in
/// separate calls, in order, without another line between.
pub fn set_log_sink(sink: Sink) {
    SINK.store(sink as *mut (), Ordering::Release);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut tail = TAIL.lock();
        let part = record.target().split("::").next().unwrap_or_default();
        // Writing cannot fail: the devices swallow what they cannot take.
        let _ = writeln!(
            Output(&mut tail),
            "[{}] {} {part}: {}",
            Stamp,
            Name(record.level()),
            record.args()
        );
    }

    fn flush(&self) {}
}

struct Output<'a>(&'a mut Tail);

impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text);
        let sink = SINK.load(Ordering::Acquire);
        if sink.is_null() {
            Direct.write_str(text)?;
        } else {
            // SAFETY: only `set_log_sink` stores here, and it stores a `Sink`.
            let sink = unsafe { core::mem::transmute::<*mut (), Sink>(sink) };
            sink(text);
        }
        Ok(())
    }
}

impl Tail {
    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            self.bytes[self.next] = byte;
            self.next += 1;
            if self.next == TAIL_BYTES {
                self.next = 0;
                self.is_full = true;
            }
        }
    }
}

/// Writes the last messages, whole lines.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_tail(out: &mut dyn Write) -> fmt::Result {
    // Copied first: `out` may log, or lead to somebody who does.
    let text = {
        let tail = TAIL.lock();
        let mut text = Vec::with_capacity(TAIL_BYTES);
        if tail.is_full {
            let oldest = &tail.bytes[tail.next..];
            // The oldest line was overwritten in part.
            let whole = oldest
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(oldest.len(), |at| at + 1);
            text.extend_from_slice(&oldest[whole..]);
        }
        text.extend_from_slice(&tail.bytes[..tail.next]);
        text
    };
    out.write_str(&String::from_utf8_lossy(&text))
}

/// Writes text to serial and screen, line ends as terminals want them.
pub(crate) struct Direct;

impl Write for Direct {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                Some(line) => {
                    console::write_all(line.as_bytes());
                    console::write_all(b"\r\n");
                }
                None => console::write_all(piece.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Seconds and microseconds since the start.
struct Stamp;

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = CLOCK
            .get()
            .map_or(0, |clock| clock.instant(cpu::read_tsc()).as_ns());
        write!(f, "{:3}.{:06}", ns / 1_000_000_000, ns / 1000 % 1_000_000)
    }
}

struct Name(Level);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Level::Error => "error",
            Level::Warn => "warn ",
            Level::Info => "info ",
            Level::Debug => "debug",
            Level::Trace => "trace",
        })
    }
}
