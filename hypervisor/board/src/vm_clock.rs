//! The time of one VM: the host's, less what the VM spent paused.
//!
//! All its clocks stand still while it is paused: devices, local APIC timers, TSC and KVM's clock. So no timer is late when it goes on
//! and no watchdog barks; only the wall clock is behind until the guest asks for it again. And what a saved state says of time holds
//! in whatever VM it is put.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use time::Instant;

/// Moved only while no vCPU of the VM runs.
#[derive(Default)]
pub struct VmClock {
    /// The host's time less the VM's, modulo 2^64: below zero in a VM that is older than the host.
    behind_ns: AtomicU64,
    is_stopped: AtomicBool,
    /// The VM's time while it is stopped, and when it was stopped last.
    stopped_at_ns: AtomicU64,
}

impl VmClock {
    /// The VM's time when the host's is `host`.
    #[inline]
    pub fn now(&self, host: Instant) -> Instant {
        if self.is_stopped.load(Ordering::Acquire) {
            self.stopped_at()
        } else {
            Instant::from_ns(host.as_ns().wrapping_sub(self.behind_ns()))
        }
    }

    /// When the VM was stopped last, in its time.
    pub fn stopped_at(&self) -> Instant {
        Instant::from_ns(self.stopped_at_ns.load(Ordering::Acquire))
    }

    /// The host's time less the VM's, modulo 2^64.
    #[inline]
    pub fn behind_ns(&self) -> u64 {
        self.behind_ns.load(Ordering::Acquire)
    }

    /// The host's time when the VM's is `at`, if it runs on until then.
    pub fn to_host(&self, at: Instant) -> Instant {
        to_host(at, self.behind_ns())
    }

    /// Stands still from now on.
    pub fn stop(&self, host: Instant) {
        self.set_and_stop(self.now(host));
    }

    /// Shows `at`, and stands still.
    pub fn set_and_stop(&self, at: Instant) {
        self.stopped_at_ns.store(at.as_ns(), Ordering::Release);
        self.is_stopped.store(true, Ordering::Release);
    }

    /// Goes on where it stopped.
    pub fn run(&self, host: Instant) {
        if self.is_stopped.load(Ordering::Acquire) {
            let behind = host.as_ns().wrapping_sub(self.stopped_at().as_ns());
            self.behind_ns.store(behind, Ordering::Release);
            self.is_stopped.store(false, Ordering::Release);
        }
    }

    /// Shows the host's time again, for a new life.
    pub fn restart(&self) {
        self.behind_ns.store(0, Ordering::Release);
        self.is_stopped.store(false, Ordering::Release);
    }
}

/// The host's time when the time of a VM that is so much behind is `at`. The end of time stays that.
#[inline]
pub fn to_host(at: Instant, behind_ns: u64) -> Instant {
    let ns = at.as_ns();
    let is_behind = behind_ns <= u64::MAX / 2;
    Instant::from_ns(if is_behind {
        ns.saturating_add(behind_ns)
    } else {
        ns.saturating_sub(behind_ns.wrapping_neg())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Instant {
        Instant::from_ns(ns)
    }

    #[test]
    fn it_stands_still_and_goes_on_where_it_stopped() {
        let clock = VmClock::default();
        assert_eq!(clock.now(at(100)), at(100));
        clock.stop(at(100));
        assert_eq!(clock.now(at(500)), at(100));
        clock.run(at(1_000));
        assert_eq!(clock.now(at(1_010)), at(110));
        assert_eq!(clock.to_host(at(110)), at(1_010));
        clock.stop(at(1_010));
        clock.run(at(1_020));
        assert_eq!((clock.now(at(1_020)), clock.behind_ns()), (at(110), 910));
    }

    #[test]
    fn a_vm_may_be_older_than_its_host() {
        let clock = VmClock::default();
        clock.set_and_stop(at(5_000));
        clock.run(at(10));
        assert_eq!(clock.now(at(15)), at(5_005));
        assert_eq!(clock.to_host(at(5_005)), at(15));
        assert_eq!(clock.to_host(at(1)), at(0));
        assert_eq!(to_host(at(u64::MAX), 7), at(u64::MAX));
    }
}
