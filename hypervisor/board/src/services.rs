//! The part of the host that devices, wires and mailboxes need, without its type parameters.

use host::{CpuId, Host};
use time::Instant;

/// Time and the way to other CPUs. Every [`Host`] is one.
pub trait Services: Sync {
    /// Time since start.
    fn now(&self) -> Instant;
    /// Which CPU runs this code.
    fn this_cpu(&self) -> CpuId;
    /// Makes `target` leave guest mode or idle.
    fn kick(&self, target: CpuId);
}

impl<H: Host> Services for H {
    fn now(&self) -> Instant {
        Host::now(self)
    }

    fn this_cpu(&self) -> CpuId {
        Host::this_cpu(self)
    }

    fn kick(&self, target: CpuId) {
        Host::kick(self, target);
    }
}
