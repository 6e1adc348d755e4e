//! A slice of the CPU, and the vCPU that runs in it.

use time::Instant;

/// A slice that a vCPU has, from its begin to its end; those with credit run in between without
/// ending it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) owner: usize,
    /// Whose clock moves meanwhile: the owner's, or that of the one that handed the turn over.
    pub(crate) payer: usize,
    pub(crate) left_ns: u64,
}

/// The vCPU that was picked and has not come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) vcpu: usize,
    pub(crate) since: Instant,
    pub(crate) end: Instant,
}
