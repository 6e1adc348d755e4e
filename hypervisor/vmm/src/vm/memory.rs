//! Work on a VM's RAM before it can run, a piece at a time, so that it does not delay others on its
//! CPU for long.

use crate::saved::ram::{self, MAX_CHUNK_BYTES};
use crate::saved::stream::{Gone, Intake, Source};
use crate::saved::{RestoreError, SavedVm};
use crate::vm::Vm;
use addr::GpaRange;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guest_memory::GuestMemory;
use host::Host;
use spin::Mutex;

/// RAM as it was allocated still holds what its last owner left. The CPU that is home to the VM's devices clears it, or fills it from a
/// saved VM.
pub(crate) struct RamWork {
    is_done: AtomicBool,
    /// Bytes cleared so far, over all ranges of the layout.
    done_bytes: AtomicU64,
    /// Taken by the home and by the VM's maker, before it has one.
    incoming: Mutex<Option<Box<Incoming>>>,
}

/// A saved VM that comes.
pub(crate) struct Incoming {
    source: Box<dyn Source>,
    intake: Intake,
    /// A piece on its way.
    piece: Vec<u8>,
}

/// Why no saved VM came.
enum Aborted {
    /// Its source has changed.
    Gone(String),
    /// It is none that this VM can take.
    Refused(RestoreError),
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(source) => write!(f, "copy aborted: {source} was resumed or started anew"),
            Self::Refused(why) => write!(f, "stays empty: {why}"),
        }
    }
}

impl Incoming {
    /// Takes what `source` gives, for a VM whose RAM lies in `ranges`.
    pub(crate) fn new(source: Box<dyn Source>, ranges: Vec<GpaRange>) -> Self {
        Self {
            source,
            intake: Intake::new(ranges),
            piece: Vec::with_capacity(MAX_CHUNK_BYTES),
        }
    }

    /// Takes the next piece. Returns whether it was the last.
    fn take_piece<H: Host>(&mut self, vm: &Vm<H>) -> Result<bool, Aborted> {
        self.piece.clear();
        let next = self.source.next(&mut self.piece);
        next.map_err(|Gone| Aborted::Gone(self.source.name().into()))?;
        if self.piece.is_empty() {
            return Err(Aborted::Refused(RestoreError::Cut));
        }
        let taken = self.intake.take(vm, &self.piece);
        taken.map_err(Aborted::Refused)
    }
}

impl RamWork {
    /// RAM to be cleared, or to be filled.
    pub(crate) const fn new(incoming: Option<Box<Incoming>>) -> Self {
        Self {
            is_done: AtomicBool::new(false),
            done_bytes: AtomicU64::new(0),
            incoming: Mutex::new(incoming),
        }
    }

    /// Returns whether the RAM no longer holds anything that is not its VM's.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// The RAM holds nothing any more that is not its VM's.
    pub(crate) fn set_done(&self) {
        self.is_done.store(true, Ordering::Release);
    }
}

impl<H: Host> Vm<H> {
    /// Deals with the next piece. Its devices' home only.
    pub(crate) fn work_on_ram(&self) {
        let mut incoming = self.ram_work.incoming.lock();
        let Some(coming) = incoming.as_mut() else {
            drop(incoming);
            return self.clear_piece();
        };
        let result = match coming.take_piece(self) {
            Ok(false) => return,
            Ok(true) => incoming.take().map_or(Ok(()), |last| {
                let Incoming { source, intake, .. } = *last;
                self.take_whole(source.name(), &intake.into_saved())
            }),
            Err(aborted) => Err(aborted),
        };
        if let Err(aborted) = result {
            // All of the RAM is cleared from now on: what has come so far is another VM's.
            *incoming = None;
            log::error!("vm {}: {aborted}", self.name());
        }
    }

    fn take_whole(&self, source: &str, saved: &SavedVm) -> Result<(), Aborted> {
        self.become_saved(saved).map_err(Aborted::Refused)?;
        log::info!("vm {}: a copy of {source}, paused", self.name());
        Ok(())
    }

    fn clear_piece(&self) {
        let done = self.ram_work.done_bytes.load(Ordering::Relaxed);
        // The screen's memory has been cleared when the VM was made, and may show something to come.
        let Some((at, bytes)) = ram::next_chunk(&self.layout.ram(), done) else {
            return self.ram_work.set_done();
        };
        let cleared = self.ram.fill(at, bytes, 0);
        debug_assert!(cleared.is_ok(), "RAM has the layout's ranges");
        self.ram_work
            .done_bytes
            .store(done + bytes, Ordering::Relaxed);
    }
}
