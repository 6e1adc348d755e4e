//! How vCPUs come to a physical CPU, and how it hears that some are to go.

use crate::cpu::load::Load;
use crate::vm::Vm;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::Bell;
use core::sync::atomic::{AtomicBool, Ordering};
use host::Host;
use spin::Mutex;

/// What others leave for a home: vCPUs to take in.
pub(crate) struct Porch<H: Host> {
    pub(crate) bell: Arc<Bell>,
    pub(crate) load: Load,
    arrivals: Mutex<Vec<(Arc<Vm<H>>, usize)>>,
    /// A VM was destroyed whose vCPUs may live here.
    has_departures: AtomicBool,
}

impl<H: Host> Porch<H> {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            bell,
            load: Load::default(),
            arrivals: Mutex::new(Vec::new()),
            has_departures: AtomicBool::new(false),
        }
    }

    /// Sends a vCPU here, by its number in its VM.
    pub(crate) fn send(&self, vm: Arc<Vm<H>>, vcpu: usize) {
        self.arrivals.lock().push((vm, vcpu));
        self.bell.ring();
    }

    /// Says that a VM was destroyed.
    pub(crate) fn see_off(&self) {
        self.has_departures.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
    /// Takes the vCPUs that were sent. The home only.
    pub(crate) fn take_arrivals(&self) -> Vec<(Arc<Vm<H>>, usize)> {
        core::mem::take(&mut *self.arrivals.lock())
    }

    /// Whether a VM was destroyed since this was asked last. The home only.
    pub(crate) fn take_departures(&self) -> bool {
        self.has_departures.swap(false, Ordering::SeqCst)
    }
}
