//! What the rest of the machine leaves for a vCPU: interrupts and orders, in atomics, so that a sender never waits and the owner
//! looks at one word before each entry.

use crate::bell::Bell;
use alloc::sync::Arc;
use chipset::{Addressing, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
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
        /// A start-up IPI; its vector stands beside.
        const SIPI = 1 << 3;
        /// The PIC's output changed.
        const EXT_INT = 1 << 4;
        /// The VM is being stopped or reset.
        const HALT = 1 << 5;
        /// The VM begins: take the start state.
        const START = 1 << 6;
    }
}

/// The mailbox of one vCPU.
pub(crate) struct Mailbox {
    bell: Arc<Bell>,
    mail: AtomicU32,
    pending: [AtomicU64; 4],
    level: [AtomicU64; 4],
    sipi: AtomicU8,
    ext_int: AtomicBool,
    addressing: AtomicU64,
    is_running: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(bell: Arc<Bell>, addressing: Addressing) -> Self {
        Self {
            bell,
            mail: AtomicU32::new(0),
            pending: Default::default(),
            level: Default::default(),
            sipi: AtomicU8::new(0),
            ext_int: AtomicBool::new(false),
            addressing: AtomicU64::new(addressing.to_bits()),
            is_running: AtomicBool::new(false),
        }
    }

    /// The loop of the CPU where the owner lives.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Leaves an interrupt.
    pub(crate) fn post(&self, vector: Vector, trigger: Trigger) {
        let (word, bit) = place(vector);
        match trigger {
            Trigger::Level => self.level[word].fetch_or(bit, Ordering::SeqCst),
            Trigger::Edge => self.level[word].fetch_and(!bit, Ordering::SeqCst),
        };
        self.pending[word].fetch_or(bit, Ordering::SeqCst);
        self.send(Mail::INTERRUPT);
    }

    /// Leaves a start-up IPI.
    pub(crate) fn post_sipi(&self, vector: Vector) {
        self.sipi.store(vector.0, Ordering::SeqCst);
        self.send(Mail::SIPI);
    }

    /// Says what the PIC's output holds.
    pub(crate) fn set_ext_int(&self, is_high: bool) {
        if self.ext_int.swap(is_high, Ordering::SeqCst) != is_high && is_high {
            self.send(Mail::EXT_INT);
        }
    }

    /// What the PIC's output holds.
    pub(crate) fn ext_int(&self) -> bool {
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
    pub(crate) fn send(&self, mail: Mail) {
        let before = self.mail.fetch_or(mail.bits(), Ordering::SeqCst);
        if before & mail.bits() == mail.bits() {
            return;
        }
        if self.is_running.load(Ordering::SeqCst) {
            if !self.bell.is_here() {
                self.bell.kick();
            }
        } else {
            self.bell.ring();
        }
    }

    /// Whether there is mail.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.mail.load(Ordering::SeqCst) != 0
    }

    /// Takes all mail. The owner only.
    pub(crate) fn take(&self) -> Mail {
        Mail::from_bits_truncate(self.mail.swap(0, Ordering::SeqCst))
    }

    /// Takes the pending vectors, each with its trigger mode. The owner only.
    pub(crate) fn take_interrupts(&self, mut each: impl FnMut(Vector, Trigger)) {
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

    /// The vector of the last start-up IPI. The owner only.
    pub(crate) fn sipi_vector(&self) -> Vector {
        Vector(self.sipi.load(Ordering::SeqCst))
    }

    /// Throws all mail away, for a new life in which the owner's local APIC answers under `addressing`. While the owner is
    /// parked, and the devices are reset.
    pub(crate) fn clear(&self, addressing: Addressing) {
        self.publish(addressing);
        self.mail.store(0, Ordering::SeqCst);
        for word in &self.pending {
            word.store(0, Ordering::SeqCst);
        }
    }

    /// Which messages are for the owner.
    pub(crate) fn addressing(&self) -> Addressing {
        Addressing::from_bits(self.addressing.load(Ordering::Acquire))
    }

    /// Tells senders under which addresses the owner's local APIC answers. The owner only, while it is not parked.
    pub(crate) fn publish(&self, addressing: Addressing) {
        self.addressing
            .store(addressing.to_bits(), Ordering::Release);
    }

    /// Says whether the owner looks at its mail before each entry by itself. The owner only.
    pub(crate) fn set_running(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::SeqCst);
    }
}

fn place(vector: Vector) -> (usize, u64) {
    (usize::from(vector.0 >> 6), 1 << (vector.0 & 63))
}
