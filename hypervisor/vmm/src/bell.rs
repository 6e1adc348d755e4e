//! How anybody gets the attention of a physical CPU's loop.

use crate::services::Services;
use core::sync::atomic::{AtomicBool, Ordering};
use host::CpuId;

/// One per physical CPU.
pub(crate) struct Bell {
    cpu: CpuId,
    services: &'static dyn Services,
    is_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new(cpu: CpuId, services: &'static dyn Services) -> Self {
        Self {
            cpu,
            services,
            is_rung: AtomicBool::new(false),
        }
    }

    /// The CPU that listens.
    pub(crate) fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Whether the caller runs on the CPU that listens.
    pub(crate) fn is_here(&self) -> bool {
        self.services.this_cpu() == self.cpu
    }

    /// Makes the CPU go round its loop, out of the guest or out of idling.
    ///
    /// Why no ring is lost: the loop takes the ring first and looks at what it announces afterwards; a ring that comes later
    /// finds the bell silent and kicks. The kick is pending until the CPU enters a guest or idles, and ends both. A ring that
    /// finds the bell rung needs no kick: it was rung by another CPU, which kicks, or by the CPU that listens, which looks at
    /// the bell before it enters a guest and before it idles.
    pub(crate) fn ring(&self) {
        let was_rung = self.is_rung.swap(true, Ordering::SeqCst);
        if !was_rung && !self.is_here() {
            self.services.kick(self.cpu);
        }
    }

    /// Makes the CPU leave the guest and look at the mailbox of the vCPU it runs, and at nothing else.
    pub(crate) fn kick(&self) {
        self.services.kick(self.cpu);
    }

    /// Whether somebody rang. The listener only.
    pub(crate) fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Takes the ring; what it announced is to be looked at afterwards. The listener only.
    pub(crate) fn answer(&self) -> bool {
        self.is_rung() && self.is_rung.swap(false, Ordering::SeqCst)
    }
}
