//! When a device wants to be advanced next.

use crate::bell::Bell;
use crate::services::Services;
use crate::vm_clock::VmClock;
use alloc::sync::Arc;
use time::{Deadline, Instant};

/// The deadline of one slot in its VM's time, kept by the CPU that the VM's devices call home.
pub struct Alarm {
    at: Deadline,
    services: &'static dyn Services,
    clock: Arc<VmClock>,
    bell: Arc<Bell>,
}

impl Alarm {
    /// No deadline yet; `bell` is rung when one comes sooner than its CPU looks.
    pub fn new(services: &'static dyn Services, clock: Arc<VmClock>, bell: Arc<Bell>) -> Self {
        Self {
            at: Deadline::none(),
            services,
            clock,
            bell,
        }
    }

    /// The VM's time.
    pub fn now(&self) -> Instant {
        self.clock.now(self.services.now())
    }

    /// Replaces the deadline; the home CPU is told when it moved forward and would be missed otherwise.
    pub fn set(&self, at: Option<Instant>) {
        if self.at.bring(at)
            && let Some(at) = at
        {
            self.bell.ring_before(self.clock.to_host(at));
        }
    }

    /// The deadline.
    pub fn at(&self) -> Option<Instant> {
        self.at.get()
    }
}
