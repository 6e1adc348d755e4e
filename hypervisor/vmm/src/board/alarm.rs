//! When a device wants to be advanced next.

use crate::board::bell::Bell;
use crate::board::services::Services;
use crate::board::vm_clock::VmClock;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use time::Instant;

/// The deadline of one slot in its VM's time, kept by the CPU that the VM's devices call home.
pub(crate) struct Alarm {
    at_ns: AtomicU64,
    services: &'static dyn Services,
    clock: Arc<VmClock>,
    bell: Arc<Bell>,
}

/// No deadline.
const NEVER: u64 = u64::MAX;

impl Alarm {
    pub(crate) fn new(
        services: &'static dyn Services,
        clock: Arc<VmClock>,
        bell: Arc<Bell>,
    ) -> Self {
        Self {
            at_ns: AtomicU64::new(NEVER),
            services,
            clock,
            bell,
        }
    }

    /// The VM's time.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now(self.services.now())
    }

    /// Replaces the deadline; the home CPU is told when it moved forward and would be missed otherwise.
    pub(crate) fn set(&self, at: Option<Instant>) {
        let new = at.map_or(NEVER, Instant::as_ns);
        let old = self.at_ns.load(Ordering::Relaxed);
        if new != old {
            self.at_ns.store(new, Ordering::SeqCst);
            if new < old {
                self.bell.ring_by(self.clock.to_host(Instant::from_ns(new)));
            }
        }
    }

    /// The deadline.
    pub(crate) fn at(&self) -> Option<Instant> {
        match self.at_ns.load(Ordering::SeqCst) {
            NEVER => None,
            ns => Some(Instant::from_ns(ns)),
        }
    }
}
