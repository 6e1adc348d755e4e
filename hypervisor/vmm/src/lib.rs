//! How virtual machines run: exits, vCPUs, the CPU loop, start, saved state.
//!
//! Knows no hardware: everything is generic over [`host::Host`]. Read [`exit`](self) first (`exit/mod.rs`): one line per exit.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;
#[cfg(any(test, feature = "test-host"))]
extern crate std;

mod cpu;
mod exit;
mod registry;
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a vector takes all bytes; a vCPU's number is one of its VM's"
)]
mod saved;
#[cfg(any(test, feature = "test-host"))]
pub mod test_host;
#[cfg(test)]
mod tests;
mod vcpu;
mod vm;

use crate::cpu::home::Home;
use crate::cpu::inbox::Porch;
use crate::registry::Registry;
use crate::vm::assemble::AssembleContext;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Bell, Cables};
use host::{CpuId, Host};
use vm_spec::Config;

pub use board::{StopReason, VmState};
pub use cpu::run::Chores;
pub use registry::{CreateError, DestroyError};
pub use saved::{NotPaused, RestoreError, SavedVm};
pub use vcpu::stats::{KIND_NAMES, Stats};
pub use vm::Vm;
pub use vm::assemble::AssembleError;

/// A file the loader read.
#[derive(Clone, Copy)]
pub struct Module {
    /// Its path as the configuration names it.
    pub name: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// All VMs and what they share.
pub struct Hypervisor<H: Host> {
    host: &'static H,
    cables: &'static dyn Cables,
    porches: &'static [Porch<H>],
    registry: Registry<H>,
    config: Config,
    modules: Vec<Module>,
}

/// Assembles the VMs of `config`, templates apart; they start as soon as their home CPUs are in [`Hypervisor::run_cpu`].
///
/// A VM that cannot be assembled is reported and left out. Call it once, on the boot CPU, when [`Host::cpu_count`] is final.
pub fn start<H: Host>(
    host: &'static H,
    config: &Config,
    modules: &[Module],
    cables: &'static dyn Cables,
) -> &'static Hypervisor<H> {
    emulate::warm_up();
    let porches: Vec<Porch<H>> = (0..host.cpu_count())
        .map(|cpu| Porch::new(Arc::new(Bell::new(CpuId(cpu), host))))
        .collect();
    let porches: &'static [Porch<H>] = Vec::leak(porches);
    let hypervisor = Box::leak(Box::new(Hypervisor {
        host,
        cables,
        porches,
        registry: Registry::new(),
        config: config.clone(),
        modules: modules.to_vec(),
    }));
    let registry = &hypervisor.registry;
    let mut list = registry.lock();
    for spec in config.vms.iter().filter(|spec| !spec.is_template) {
        if let Err(error) =
            registry.add(&mut list, &hypervisor.context(), spec, spec.autostart, None)
        {
            log::error!("vm {}: not started: {error}", spec.name);
        }
    }
    drop(list);
    hypervisor
}

impl<H: Host> Hypervisor<H> {
    /// The machine.
    #[must_use]
    pub fn host(&self) -> &'static H {
        self.host
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What a VM is assembled in.
    fn context(&self) -> AssembleContext<'_, H> {
        AssembleContext {
            host: self.host,
            cables: self.cables,
            porches: self.porches,
            modules: &self.modules,
        }
    }

    /// Runs the calling CPU for the rest of its life; `chores` are done on it now and then.
    pub fn run_cpu(&'static self, cpu: &mut H::Cpu, chores: Option<&mut dyn Chores>) -> ! {
        let id = self.host.cpu_id(cpu);
        #[expect(
            clippy::indexing_slicing,
            reason = "`start` made one for each CPU that the host counts"
        )]
        let porch = &self.porches[id.0 as usize];
        let mut home = Home::new(self.host, porch);
        // Whatever was left before this CPU came here is looked at in the first round.
        porch.bell.ring();
        cpu::run::run_cpu(self.host, cpu, &mut home, chores)
    }
}
