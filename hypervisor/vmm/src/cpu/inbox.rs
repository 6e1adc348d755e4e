//! Inbox of a physical CPU: how vCPUs come to it, and how it hears that some are to go.

use crate::cpu::load::Load;
use crate::vcpu::stats::Stats;
use crate::vm::Vm;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Bell, Mailbox};
use core::sync::atomic::{AtomicBool, Ordering};
use host::Host;
use spin::Mutex;

/// A vCPU on its way to its home.
pub(crate) struct Arrival<H: Host> {
    pub(crate) vm: Arc<Vm<H>>,
    /// Its number in its VM.
    pub(crate) id: usize,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) stats: Arc<Stats>,
}

/// Inbox of a home: vCPUs that other CPUs send to it.
pub(crate) struct CpuInbox<H: Host> {
    pub(crate) bell: Arc<Bell>,
    pub(crate) load: Load,
    arrivals: Mutex<Vec<Arrival<H>>>,
    /// A VM was destroyed whose vCPUs may live here.
    has_destroyed: AtomicBool,
}

impl<H: Host> CpuInbox<H> {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            bell,
            load: Load::default(),
            arrivals: Mutex::new(Vec::new()),
            has_destroyed: AtomicBool::new(false),
        }
    }

    /// Sends a vCPU here.
    pub(crate) fn send(&self, arrival: Arrival<H>) {
        self.arrivals.lock().push(arrival);
        self.bell.ring();
    }

    /// Notes that a VM was destroyed, and rings.
    pub(crate) fn vm_destroyed(&self) {
        self.has_destroyed.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// Takes the vCPUs that were sent. The home only.
    pub(crate) fn take_arrivals(&self) -> Vec<Arrival<H>> {
        core::mem::take(&mut *self.arrivals.lock())
    }

    /// Returns whether a VM was destroyed since the last call. The home only.
    pub(crate) fn take_destroyed(&self) -> bool {
        self.has_destroyed.swap(false, Ordering::SeqCst)
    }
}
