//! Virtual machines: exits, devices, the CPU loop, the operator's shell.
//!
//! Knows no hardware: everything is generic over [`host::Host`]. Read [`exit`](self) first (`exit/mod.rs`): one line per exit.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bios;
mod board;
mod cpu;
mod exit;
mod operator;
mod registry;
mod saved;
#[cfg(test)]
mod tests;
mod vcpu;
mod vm;

use crate::board::bell::Bell;
use crate::cpu::home::Home;
use crate::cpu::inbox::Porch;
use crate::operator::chores::Housekeeping;
use crate::operator::console::{Console, MessageSink};
use crate::registry::Registry;
use crate::vm::assemble::Site;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use host::{CpuId, Host};
use spin::Once;
use vm_spec::Config;

pub use board::lifecycle::{StopReason, VmState};
pub use registry::{CreateError, DestroyError};
pub use saved::{NotPaused, RestoreError, SavedVm};
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

/// The console, once there is one.
static MESSAGES: Once<&'static dyn MessageSink> = Once::new();

/// Puts the hypervisor's own messages among what the VMs print; given to the machine's logger. A newline ends a message.
///
/// Nothing on the way from here logs. Before [`start`] messages vanish.
pub fn print_message(text: &str) {
    if let Some(sink) = MESSAGES.get() {
        sink.take(text);
    }
}

/// All VMs and what they share.
pub struct Hypervisor<H: Host> {
    host: &'static H,
    console: &'static Console<H>,
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
) -> &'static Hypervisor<H> {
    emulate::warm_up();
    let console: &'static Console<H> = Box::leak(Box::new(Console::new(host)));
    MESSAGES.call_once(|| console);
    let porches: Vec<Porch<H>> = (0..host.cpu_count())
        .map(|cpu| Porch::new(Arc::new(Bell::new(CpuId(cpu), host))))
        .collect();
    let porches: &'static [Porch<H>] = Vec::leak(porches);
    let hypervisor = Box::leak(Box::new(Hypervisor {
        host,
        console,
        porches,
        registry: Registry::new(),
        config: config.clone(),
        modules: modules.to_vec(),
    }));
    let registry = &hypervisor.registry;
    let mut list = registry.lock();
    for spec in config.vms.iter().filter(|spec| !spec.is_template) {
        if let Err(error) = registry.add(&mut list, &hypervisor.site(), spec, spec.autostart, None)
        {
            log::error!("vm {}: not started: {error}", spec.name);
        }
    }
    drop(list);
    if let Some(vm) = hypervisor.vms().first() {
        console.set_focus(vm.id(), vm.spec.console == vm_spec::GuestConsole::Screen);
        // Past the log, whatever its level: without it nobody finds the shell.
        console.write(b"Press Ctrl-] for the operator's shell.\r\n");
    } else {
        log::warn!("no VM to run; press Ctrl-] for the operator's shell");
        console.set_focus(operator::console::SHELL, false);
    }
    hypervisor
}

impl<H: Host> Hypervisor<H> {
    /// What a VM is assembled in.
    fn site(&self) -> Site<'_, H> {
        Site {
            host: self.host,
            console: self.console,
            porches: self.porches,
            modules: &self.modules,
        }
    }

    /// What the calling CPU does for the rest of its life.
    pub fn run_cpu(&'static self, cpu: &mut H::Cpu) -> ! {
        let id = self.host.cpu_id(cpu);
        let porch = &self.porches[id.0 as usize];
        let mut home = Home::new(self.host, porch);
        // Whatever was left before this CPU came here is looked at in the first round.
        porch.bell.ring();
        let housekeeping = (id == CpuId(0)).then(|| Housekeeping::new(self));
        cpu::run::run_cpu(self.host, cpu, &mut home, housekeeping)
    }
}
