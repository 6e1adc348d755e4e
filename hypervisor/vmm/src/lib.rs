//! Virtual machines: exits, devices, the CPU loop, the operator's shell.
//!
//! Knows no hardware: everything is generic over [`host::Host`]. Read [`exit`](self) first (`exit.rs`): one line per exit.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod alarm;
mod assemble;
mod bell;
mod board;
mod bus;
mod console;
mod cpu_loop;
mod exit;
mod fabric;
mod harness;
mod home;
mod housekeeping;
mod kvm_clock;
mod lifecycle;
mod local;
mod mailbox;
mod mmio;
mod msr;
mod ports;
mod services;
mod shell;
mod slot;
mod stats;
#[cfg(test)]
mod tests;
mod text;
mod vcpu;
mod vm;

use crate::assemble::Site;
use crate::bell::Bell;
use crate::console::{Console, MessageSink};
use crate::home::{Home, Porch};
use crate::housekeeping::Housekeeping;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use host::{CpuId, Host};
use spin::Once;
use vm_spec::Config;

pub use assemble::AssembleError;
pub use lifecycle::{StopReason, VmState};
pub use vm::Vm;

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
    vms: Vec<Arc<Vm<H>>>,
    is_shutdown_when_done: bool,
}

/// Assembles the VMs of `config`; they start as soon as their home CPUs are in [`Hypervisor::run_cpu`].
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
    let site = Site {
        host,
        console,
        porches,
        modules,
    };
    let mut vms = Vec::new();
    let mut turn = 0;
    for spec in &config.vms {
        match assemble::assemble(&site, vms.len(), spec, &mut turn) {
            Ok(vm) => vms.push(vm),
            Err(error) => log::error!("vm {}: not started: {error}", spec.name),
        }
    }
    if vms.is_empty() {
        log::warn!("no VM to run; press Ctrl-] for the operator's shell");
        console.set_focus(console::SHELL);
    } else {
        // Past the log, whatever its level: without it nobody finds the shell.
        console.write(b"Press Ctrl-] for the operator's shell.\r\n");
    }
    Box::leak(Box::new(Hypervisor {
        host,
        console,
        porches,
        vms,
        is_shutdown_when_done: config.host.shutdown_when_done,
    }))
}

impl<H: Host> Hypervisor<H> {
    /// What the calling CPU does for the rest of its life.
    pub fn run_cpu(&'static self, cpu: &mut H::Cpu) -> ! {
        let id = self.host.cpu_id(cpu);
        let porch = &self.porches[id.0 as usize];
        let mut home = Home::new(self.host, porch);
        // Whatever was left before this CPU came here is looked at in the first round.
        porch.bell.ring();
        let housekeeping = (id == CpuId(0)).then(|| Housekeeping::new(self));
        cpu_loop::run_cpu(self.host, cpu, &mut home, housekeeping)
    }
}
