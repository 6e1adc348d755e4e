//! What a test says at its end.

use crate::{cpu, port};
use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// A write here ends the VM; the value is its result.
const EXIT_PORT: u16 = 0xf4;

/// What a test found.
pub type Outcome = Result<(), Fail>;

/// What was not as it should be.
#[derive(Clone, Copy, Debug)]
pub struct Fail {
    what: &'static str,
    values: Option<(u64, u64)>,
}

impl Fail {
    /// A finding without numbers.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self { what, values: None }
    }

    /// A finding with what was there and what should have been.
    #[must_use]
    pub const fn with(what: &'static str, got: u64, wanted: u64) -> Self {
        Self {
            what,
            values: Some((got, wanted)),
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.values {
            Some((got, wanted)) => write!(f, ": got {got:#x}, wanted {wanted:#x}"),
            None => Ok(()),
        }
    }
}

/// Fails unless the two are equal.
///
/// # Errors
/// The finding.
pub fn equal(what: &'static str, got: u64, wanted: u64) -> Outcome {
    if got == wanted {
        Ok(())
    } else {
        Err(Fail::with(what, got, wanted))
    }
}

/// Fails unless it is so.
///
/// # Errors
/// The finding.
pub fn that(what: &'static str, is_so: bool) -> Outcome {
    if is_so { Ok(()) } else { Err(Fail::new(what)) }
}

static NAME: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static NAME_BYTES: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_name(name: &'static str) {
    NAME.store(name.as_ptr().cast_mut(), Relaxed);
    NAME_BYTES.store(name.len(), Relaxed);
}

fn name() -> &'static str {
    let start = NAME.load(Relaxed);
    if start.is_null() {
        return "?";
    }
    // SAFETY: both statics were set from one `&'static str`, before anything could fail.
    let bytes = unsafe { core::slice::from_raw_parts(start, NAME_BYTES.load(Relaxed)) };
    core::str::from_utf8(bytes).unwrap_or("?")
}

/// Prints the verdict and ends the VM.
pub fn report(name: &str, outcome: &Outcome) -> ! {
    match outcome {
        Ok(()) => crate::println!("verdict {name}: pass"),
        Err(fail) => crate::println!("verdict {name}: fail {fail}"),
    }
    end(u8::from(outcome.is_err()))
}

/// Prints a failing verdict from where there is no way back, and ends the VM.
pub fn give_up(why: fmt::Arguments<'_>) -> ! {
    crate::println!("verdict {}: fail {why}", name());
    end(1)
}

/// Ends the VM with this result; where nothing listens, the CPU halts for ever.
pub fn end(result: u8) -> ! {
    port::out8(EXIT_PORT, result);
    cpu::halt_for_ever()
}
