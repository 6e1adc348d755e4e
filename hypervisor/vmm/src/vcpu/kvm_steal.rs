//! KVM's steal time: a record in guest memory that says how long a vCPU waited for its CPU, and whether it waits now.
//!
//! Layout and meaning as in the kernel documentation "KVM-specific MSRs" (`MSR_KVM_STEAL_TIME`). A guest that sees another of its
//! vCPUs wait does not interrupt it to flush its TLB, but asks for that by a flag in the record; the flush is due before it runs.

use addr::Gpa;
use guest_memory::{GuestMemory, Unbacked};
use serde::{Deserialize, Serialize};

/// Bit 0 of the MSR: the record is kept.
const ENABLED: u64 = 1;
/// Where the record lies.
const ADDRESS: u64 = !0x3f;
/// Offsets in the record. The waiting time is in ns; the version is odd while it is written.
const VERSION: u64 = 8;
/// One byte and three of padding; read and changed with what follows, as eight.
const PREEMPTED: u64 = 16;
/// In that byte: the vCPU waits; the guest wants its TLB flushed before it runs.
const IS_PREEMPTED: u64 = 1 << 0;
const WANTS_FLUSH: u64 = 1 << 1;
/// Tries to change a word that the guest may be changing too.
const TRIES: u32 = 8;

/// The MSR, and what the record says.
#[derive(Debug, Default)]
pub(crate) struct StealTime {
    /// As the guest wrote it.
    pub(crate) msr: u64,
    version: u32,
    /// Steal time that is in the record.
    steal_ns: u64,
    /// Time that the vCPU had waited when `steal_ns` was written.
    waited_ns: u64,
    /// The guest may have been told that the vCPU waits.
    is_marked: bool,
    /// Waiting counts from the next turn on.
    is_new: bool,
}

/// Saved state of a [`StealTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSteal {
    msr: u64,
    version: u32,
    steal_ns: u64,
}

impl StealTime {
    /// WRMSR. What stands in the record already is added to, so that it never goes back.
    pub(crate) fn set(&mut self, value: u64, memory: &impl GuestMemory) {
        *self = Self {
            msr: value,
            version: self.version,
            waited_ns: self.waited_ns,
            is_new: true,
            ..Self::default()
        };
        if let Some(at) = self.record() {
            self.steal_ns = memory.load_u64(at).unwrap_or(0);
        }
    }

    /// Returns the state to save.
    pub(crate) fn save(&self) -> SavedSteal {
        SavedSteal {
            msr: self.msr,
            version: self.version,
            steal_ns: self.steal_ns,
        }
    }

    /// Goes on from what was saved: for a vCPU that waited for another time, and may have been marked as waiting.
    pub(crate) fn restored(saved: SavedSteal) -> Self {
        let SavedSteal {
            msr,
            version,
            steal_ns,
        } = saved;
        Self {
            msr,
            version,
            steal_ns,
            waited_ns: 0,
            is_new: true,
            is_marked: true,
        }
    }

    /// The vCPU runs again, after having waited for `waited_ns` since its VM was made. Returns whether its TLB must be flushed.
    pub(crate) fn begin_turn(&mut self, waited_ns: u64, memory: &impl GuestMemory) -> bool {
        let Some(at) = self.record() else {
            return false;
        };
        let must_flush = core::mem::take(&mut self.is_marked)
            && take_preempted(memory, at.wrapping_add(PREEMPTED)).unwrap_or(false);
        if core::mem::take(&mut self.is_new) {
            self.waited_ns = waited_ns;
        } else if waited_ns != self.waited_ns {
            let more = waited_ns.saturating_sub(self.waited_ns);
            self.waited_ns = waited_ns;
            self.steal_ns = self.steal_ns.wrapping_add(more);
            // A guest that names no RAM learns nothing.
            let _ = self.write(memory, at);
        }
        must_flush
    }

    /// Another one runs although this one could.
    pub(crate) fn mark_preempted(&mut self, memory: &impl GuestMemory) {
        let Some(at) = self.record() else {
            return;
        };
        let at = at.wrapping_add(PREEMPTED);
        self.is_marked = change(memory, at, |word| word | IS_PREEMPTED).is_ok();
    }

    fn record(&self) -> Option<Gpa> {
        (self.msr & ENABLED != 0).then_some(Gpa::new(self.msr & ADDRESS))
    }

    fn write(&mut self, memory: &impl GuestMemory, at: Gpa) -> Result<(), Unbacked> {
        let version_at = at.wrapping_add(VERSION);
        let begun = self.version | 1;
        self.version = begun.wrapping_add(1);
        memory.write(version_at, &begun.to_le_bytes())?;
        memory.write(at, &self.steal_ns.to_le_bytes())?;
        memory.write(version_at, &self.version.to_le_bytes())
    }
}

/// Clears the mark that the vCPU is preempted; returns whether a flush was asked for.
fn take_preempted(memory: &impl GuestMemory, at: Gpa) -> Result<bool, Unbacked> {
    let before = change(memory, at, |word| word & !0xff)?;
    // A guest that changes the word all the time is flushed in any case.
    let Some(before) = before else {
        memory.write(at, &[0])?;
        return Ok(true);
    };
    Ok(before & WANTS_FLUSH != 0)
}

/// Changes eight bytes in one piece; returns what they were, unless others changed them too often meanwhile.
fn change(
    memory: &impl GuestMemory,
    at: Gpa,
    to: impl Fn(u64) -> u64,
) -> Result<Option<u64>, Unbacked> {
    for _ in 0..TRIES {
        let before = memory.load_u64(at)?;
        if memory.compare_exchange_u64(at, before, to(before))? {
            return Ok(Some(before));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_memory::TestRam;

    const AT: u64 = 0x1040;

    fn enabled() -> (StealTime, TestRam) {
        let memory = TestRam::new(0x2000);
        let mut steal = StealTime::default();
        steal.set(AT | ENABLED, &memory);
        assert!(!steal.begin_turn(1_000, &memory));
        (steal, memory)
    }

    fn word(memory: &TestRam, offset: u64) -> u64 {
        memory.load_u64(Gpa::new(AT + offset)).expect("RAM")
    }

    #[test]
    fn waiting_is_told_and_written_only_when_it_grew() {
        let (mut steal, memory) = enabled();
        assert_eq!([word(&memory, 0), word(&memory, 8)], [0, 0]);
        steal.begin_turn(1_700, &memory);
        assert_eq!([word(&memory, 0), word(&memory, 8)], [700, 2]);
        steal.begin_turn(1_700, &memory);
        assert_eq!(word(&memory, 8), 2);
        // A CPU that comes up again names its old record.
        steal.set(AT | ENABLED, &memory);
        steal.begin_turn(2_000, &memory);
        steal.begin_turn(2_050, &memory);
        assert_eq!([word(&memory, 0), word(&memory, 8)], [750, 4]);
    }

    #[test]
    fn a_flush_that_was_asked_for_while_it_waited_is_due_once() {
        let (mut steal, memory) = enabled();
        steal.mark_preempted(&memory);
        assert_eq!(word(&memory, PREEMPTED), IS_PREEMPTED);
        assert!(!steal.begin_turn(1_000, &memory));
        assert_eq!(word(&memory, PREEMPTED), 0);
        steal.mark_preempted(&memory);
        let flag = memory.write(Gpa::new(AT + PREEMPTED), &[3]);
        assert_eq!(flag, Ok(()));
        assert!(steal.begin_turn(1_000, &memory));
        assert!(!steal.begin_turn(1_000, &memory));
    }

    #[test]
    fn a_record_outside_memory_harms_nobody() {
        let memory = TestRam::new(0x2000);
        for value in [
            u64::MAX,
            0x2000 | ENABLED,
            0x1fc0 | ENABLED,
            0xd000_0001,
            0x1000,
        ] {
            let mut steal = StealTime::default();
            steal.set(value, &memory);
            steal.mark_preempted(&memory);
            steal.begin_turn(5, &memory);
            steal.begin_turn(6, &memory);
        }
    }
}
