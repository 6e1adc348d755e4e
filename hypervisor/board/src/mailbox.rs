//! Mailbox of a vCPU, in which the rest of the machine leaves interrupts and orders, in atomics, so
//! that a sender never waits and the owner looks at one word before each entry.

use crate::bell::Bell;
use alloc::sync::Arc;
use chipset::{Addressing, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use serde::{Deserialize, Serialize};
use x86::Vector;

bitflags::bitflags! {
    /// Why the owner should look.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mail: u32 {
        /// There are vectors in the pending bitmap.
        const INTERRUPT = 1 << 0;
        /// An NMI.
        const NMI = 1 << 1;
        /// INIT.
        const INIT = 1 << 2;
        /// A start-up IPI; its vector stands in the same word, above [`SIPI_SHIFT`].
        const SIPI = 1 << 3;
        /// The PIC's output changed.
        const EXT_INT = 1 << 4;
        /// The VM is being stopped or reset.
        const HALT = 1 << 5;
        /// The VM begins: take the start state.
        const START = 1 << 6;
        /// The VM pauses.
        const PAUSE = 1 << 7;
        /// The VM goes on after a pause.
        const RESUME = 1 << 8;
        /// The VM begins with a saved state, and is paused.
        const RESTORE = 1 << 9;
        /// KVM's kick: a halted vCPU goes on without an interrupt.
        const KICK = 1 << 10;
        /// There is a new table of the bus.
        const TABLE = 1 << 11;
    }
}

/// Where in the word of mail the start-up vector stands: with its flag, so that the two never tell of different IPIs.
const SIPI_SHIFT: u32 = 24;

/// Mail that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The mail that was there.
    pub mail: Mail,
    /// Where a start-up IPI leads, if there was one.
    pub sipi: Vector,
}

/// Way in which a parked vCPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the start state.
    Start,
    /// With a saved state, holding still.
    Restore,
}

/// Saved state of a mailbox: what is the guest's, and no orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMail {
    word: u32,
    pending: [u64; 4],
    level: [u64; 4],
}

/// Bits of the word of mail that are the guest's.
const GUESTS: u32 = Mail::INTERRUPT.bits()
    | Mail::NMI.bits()
    | Mail::INIT.bits()
    | Mail::SIPI.bits()
    | Mail::EXT_INT.bits()
    | Mail::KICK.bits()
    | 0xff << SIPI_SHIFT;

/// The mailbox of one vCPU.
pub struct Mailbox {
    bell: Arc<Bell>,
    mail: AtomicU32,
    pending: [AtomicU64; 4],
    level: [AtomicU64; 4],
    ext_int: AtomicBool,
    addressing: AtomicU64,
    is_running: AtomicBool,
    /// Generation of the bus's table that the owner reads.
    table: AtomicU64,
}

impl Mailbox {
    /// An empty mailbox of a vCPU that lives where `bell` is heard.
    #[must_use]
    pub fn new(bell: Arc<Bell>, addressing: Addressing) -> Self {
        Self {
            bell,
            mail: AtomicU32::new(0),
            pending: Default::default(),
            level: Default::default(),
            ext_int: AtomicBool::new(false),
            addressing: AtomicU64::new(addressing.to_bits()),
            is_running: AtomicBool::new(false),
            table: AtomicU64::new(0),
        }
    }

    /// The loop of the CPU where the owner lives.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Leaves an interrupt.
    pub fn post(&self, vector: Vector, trigger: Trigger) {
        let (word, bit) = place(vector);
        // A vector's two upper bits name one of four words: there always is one.
        let (Some(level), Some(pending)) = (self.level.get(word), self.pending.get(word)) else {
            return;
        };
        match trigger {
            Trigger::Level => level.fetch_or(bit, Ordering::SeqCst),
            Trigger::Edge => level.fetch_and(!bit, Ordering::SeqCst),
        };
        pending.fetch_or(bit, Ordering::SeqCst);
        self.send(Mail::INTERRUPT);
    }

    /// Leaves INIT. What was sent sooner and needs a CPU that runs, or one that waits for it, is forgotten: the owner takes
    /// all mail at once and would find it behind INIT.
    ///
    /// Vectors stay: the local APIC is off by then, and refuses them.
    pub fn post_init(&self) {
        self.put(|mail| without_sipi(mail) & !Mail::NMI.bits() | Mail::INIT.bits());
    }

    /// Leaves a start-up IPI. As long as one waits, further ones are lost: the first one started the CPU.
    pub fn post_sipi(&self, vector: Vector) {
        self.put(|mail| match mail & Mail::SIPI.bits() {
            0 => without_sipi(mail) | Mail::SIPI.bits() | u32::from(vector.0) << SIPI_SHIFT,
            _ => mail,
        });
    }

    /// Sets the level of the PIC's output.
    pub fn set_ext_int(&self, is_high: bool) {
        if self.ext_int.swap(is_high, Ordering::SeqCst) != is_high && is_high {
            self.send(Mail::EXT_INT);
        }
    }

    /// Returns the level of the PIC's output.
    pub fn ext_int(&self) -> bool {
        self.ext_int.load(Ordering::Acquire)
    }

    /// Leaves `mail` and sees to it that the owner looks.
    ///
    /// Why no wake-up is lost:
    /// 1. The owner's home clears `is_running`, looks for mail a last time and only then counts it as asleep; here mail is left
    ///    before `is_running` is read. All four are sequentially consistent, so one of the two sees the other.
    /// 2. If we saw it running, it looks at its mail before each entry into the guest. A kick that comes between that look
    ///    and the entry is still pending there, since interrupts are off, and the guest is left at once. On the owner's own
    ///    CPU no kick is needed: that CPU is in the hypervisor now, on its way to the next look.
    /// 3. If we saw it not running, the bell makes its home look at every mailbox; see [`Bell::ring`].
    /// 4. Mail that lay there before had its signal, or its sender is about to give it, and the owner takes everything at once: a
    ///    second signal would tell nothing. So a guest that sends interrupts to a vCPU that waits for its turn disturbs
    ///    that CPU once, not each time.
    pub fn send(&self, mail: Mail) {
        let before = self.mail.fetch_or(mail.bits(), Ordering::SeqCst);
        if before & mail.bits() != mail.bits() {
            self.signal();
        }
    }

    /// Changes the word of mail; as [`Mailbox::send`] otherwise.
    fn put(&self, change: impl Fn(u32) -> u32) {
        let before = self
            .mail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |mail| {
                Some(change(mail))
            });
        if before.is_ok_and(|before| change(before) != before) {
            self.signal();
        }
    }

    fn signal(&self) {
        if self.is_running.load(Ordering::SeqCst) {
            if !self.bell.is_here() {
                self.bell.kick();
            }
        } else {
            self.bell.ring_for_mail();
        }
    }

    /// Returns whether there is mail.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.mail.load(Ordering::SeqCst) != 0
    }

    /// Returns whether there is some of this mail; it stays there.
    pub fn has(&self, mail: Mail) -> bool {
        self.mail.load(Ordering::SeqCst) & mail.bits() != 0
    }

    /// Takes all mail. The owner only.
    pub fn take(&self) -> Taken {
        let word = self.mail.swap(0, Ordering::SeqCst);
        Taken {
            mail: Mail::from_bits_truncate(word),
            sipi: Vector((word >> SIPI_SHIFT) as u8),
        }
    }

    /// Takes a beginning, and leaves what came behind it; without one, throws all mail away. The owner only, while parked.
    pub fn take_begin(&self) -> Option<Begin> {
        let begin = (Mail::START | Mail::RESTORE).bits();
        let rest = |mail: u32| if mail & begin != 0 { mail & !begin } else { 0 };
        let before = self
            .mail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |mail| Some(rest(mail)));
        let before = Mail::from_bits_truncate(before.unwrap_or(0));
        if before.contains(Mail::START) {
            Some(Begin::Start)
        } else {
            before.contains(Mail::RESTORE).then_some(Begin::Restore)
        }
    }

    /// Returns what waits for the owner and is the guest's. While the VM is paused.
    pub fn save(&self) -> SavedMail {
        let words =
            |words: &[AtomicU64; 4]| words.each_ref().map(|word| word.load(Ordering::SeqCst));
        SavedMail {
            word: self.mail.load(Ordering::SeqCst) & GUESTS,
            pending: words(&self.pending),
            level: words(&self.level),
        }
    }

    /// Leaves what [`Mailbox::save`] gave, and the order to begin with a saved state, at once: alone, mail of a parked vCPU is thrown
    /// away.
    pub fn restore(&self, saved: &SavedMail) {
        for (word, saved) in self.pending.iter().zip(saved.pending) {
            word.store(saved, Ordering::SeqCst);
        }
        for (word, saved) in self.level.iter().zip(saved.level) {
            word.store(saved, Ordering::SeqCst);
        }
        self.put(|mail| mail | saved.word & GUESTS | Mail::RESTORE.bits());
    }

    /// Takes the pending vectors, each with its trigger mode. The owner only.
    pub fn take_interrupts(&self, mut each: impl FnMut(Vector, Trigger)) {
        for (word, (pending, level)) in self.pending.iter().zip(&self.level).enumerate() {
            if pending.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut vectors = pending.swap(0, Ordering::SeqCst);
            let level = level.load(Ordering::SeqCst);
            while vectors != 0 {
                let bit = vectors.trailing_zeros();
                vectors &= vectors - 1;
                let trigger = if level & (1 << bit) == 0 {
                    Trigger::Edge
                } else {
                    Trigger::Level
                };
                each(Vector(word as u8 * 64 + bit as u8), trigger);
            }
        }
    }

    /// Throws all mail away, for a new life in which the owner's local APIC answers under `addressing`. While the owner is
    /// parked, and the devices are reset.
    pub fn clear(&self, addressing: Addressing) {
        self.publish(addressing);
        self.mail.store(0, Ordering::SeqCst);
        for word in &self.pending {
            word.store(0, Ordering::SeqCst);
        }
    }

    /// Which messages are for the owner.
    pub fn addressing(&self) -> Addressing {
        Addressing::from_bits(self.addressing.load(Ordering::Acquire))
    }

    /// Tells senders under which addresses the owner's local APIC answers. The owner only, while it is not parked.
    pub fn publish(&self, addressing: Addressing) {
        self.addressing
            .store(addressing.to_bits(), Ordering::Release);
    }

    /// Tells the owner of a new table of the bus, if it runs.
    pub(crate) fn tell_table(&self) {
        if self.is_running.load(Ordering::SeqCst) {
            self.send(Mail::TABLE);
        }
    }

    /// Returns whether the owner may still read a table older than this one.
    pub(crate) fn may_read_before(&self, generation: u64) -> bool {
        self.is_running.load(Ordering::SeqCst) && self.table.load(Ordering::SeqCst) < generation
    }

    /// Notes that the owner reads this table from now on, or a newer one. The owner only.
    pub fn note_table(&self, generation: u64) {
        self.table.store(generation, Ordering::SeqCst);
    }

    /// Sets whether the owner looks at its mail before each entry by itself. The owner only.
    pub fn set_running(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::SeqCst);
    }
}

fn without_sipi(mail: u32) -> u32 {
    mail & ((1 << SIPI_SHIFT) - 1) & !Mail::SIPI.bits()
}

fn place(vector: Vector) -> (usize, u64) {
    (usize::from(vector.0 >> 6), 1 << (vector.0 & 63))
}
