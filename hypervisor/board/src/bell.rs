//! The bell of a physical CPU: a way to get the attention of its loop.

use crate::services::Services;
use core::sync::atomic::{AtomicBool, Ordering};
use host::CpuId;
use time::{Deadline, Instant};

/// One per physical CPU.
pub struct Bell {
    cpu: CpuId,
    services: &'static dyn Services,
    is_rung: AtomicBool,
    /// True if there is more to look at than mailboxes.
    has_news: AtomicBool,
    /// A device's deadline is why it was rung.
    is_rung_by_device: AtomicBool,
    /// When the CPU looks at the deadlines of its devices by itself; the start of time
    /// while it does so soon enough for any.
    scans_at: Deadline,
}

impl Bell {
    /// The bell of `cpu`, silent.
    #[must_use]
    pub fn new(cpu: CpuId, services: &'static dyn Services) -> Self {
        Self {
            cpu,
            services,
            is_rung: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
            is_rung_by_device: AtomicBool::new(false),
            scans_at: Deadline::none(),
        }
    }

    /// The CPU that listens.
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Returns whether the caller runs on the CPU that listens.
    pub fn is_here(&self) -> bool {
        self.services.this_cpu() == self.cpu
    }

    /// Makes the CPU go round its loop, out of the guest or out of idling, and look at everything:
    /// which vCPUs came or left, when devices want to be advanced.
    pub fn ring(&self) {
        // First, so that the one that takes the ring sees it.
        self.has_news.store(true, Ordering::SeqCst);
        self.ring_for_mail();
    }

    /// As [`Self::ring`], to look at mailboxes only.
    ///
    /// Why no ring is lost: the loop takes the ring first and looks at what it announces afterwards; a ring that comes later
    /// finds the bell silent and kicks. The kick is pending until the CPU enters a guest or idles, and ends both. A ring that
    /// finds the bell rung needs no kick: it was rung by another CPU, which kicks, or by the CPU that listens, which looks at
    /// the bell before it enters a guest and before it idles.
    pub fn ring_for_mail(&self) {
        let was_rung = self.is_rung.swap(true, Ordering::SeqCst);
        if !was_rung && !self.is_here() {
            self.services.kick(self.cpu);
        }
    }

    /// As [`Bell::ring`], for a device that wants to be advanced at `at`; not if the CPU looks soon enough by itself.
    ///
    /// Why no deadline is lost: a device leaves its deadline before it asks here when the CPU looks; the CPU says that everybody
    /// is to ring before it reads the deadlines. Whichever comes first, the other one sees it.
    pub fn ring_before(&self, at: Instant) {
        if self.scans_at.get().is_none_or(|scans_at| at < scans_at) {
            self.is_rung_by_device.store(true, Ordering::SeqCst);
            self.ring();
        }
    }

    /// The listener is about to read the deadlines of its devices: from now on, moving one requires
    /// a ring. Returns whether one that rang is the reason. The listener only.
    pub fn begin_scan(&self) -> bool {
        self.scans_at.set(None);
        self.is_rung_by_device.swap(false, Ordering::SeqCst)
    }

    /// It read them, and reads them again at `at`. The listener only.
    pub fn scans_at(&self, at: Option<Instant>) {
        self.scans_at.set(at);
    }

    /// It read them, and reads them again so soon that no ring is needed before that. The listener
    /// only.
    pub fn will_scan_soon(&self) {
        self.scans_at.set(Some(Instant::default()));
    }

    /// Makes the CPU leave the guest and look at the mailbox of the vCPU it runs, and at nothing else.
    pub fn kick(&self) {
        self.services.kick(self.cpu);
    }

    /// Returns whether the bell was rung. The listener only.
    pub fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Takes the news that came with a ring, after the ring itself was taken. The listener only.
    pub fn take_news(&self) -> bool {
        self.has_news.load(Ordering::SeqCst) && self.has_news.swap(false, Ordering::SeqCst)
    }

    /// Takes the ring; what it announced is to be looked at afterwards. The listener only.
    pub fn answer(&self) -> bool {
        self.is_rung() && self.is_rung.swap(false, Ordering::SeqCst)
    }
}
