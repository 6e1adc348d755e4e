//! Operates the machine: sessions, views of VMs, commands, shell, display.
//!
//! [`start`] starts the VMs and connects their cables; [`Operator::chores`] runs on the boot CPU
//! between the turns of its vCPUs; [`Operator::execute`] carries a [`Command`] out.
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
#[cfg(test)]
extern crate std;

mod allowance;
mod chores;
mod command;
mod console;
mod consoles;
mod display;
mod focus;
mod lines;
mod outputs;
mod render;
mod reports;
mod session;
mod shell;
mod status;
#[cfg(test)]
mod tests;
mod typing;
mod view;

pub use command::{
    Command, DeviceReport, Done, HostReport, MemoryUse, NotCreated, Page, Refused, Reply, State,
    VmSummary,
};

use crate::chores::OperatorChores;
use crate::consoles::{Consoles, MessageSink};
use crate::focus::Focus;
use crate::outputs::Outputs;
use alloc::boxed::Box;
use host::{Host, PowerAction};
use spin::{Mutex, Once};
use vm_spec::Config;
use vmm::{Chores, Hypervisor, Module};

/// The sessions' outputs, once there are any.
static MESSAGES: Once<&'static dyn MessageSink> = Once::new();

/// Puts the hypervisor's own messages among what the VMs print; given to the machine's logger. A
/// newline ends a message.
///
/// Nothing on the way from here logs. Before [`start`] messages vanish.
pub fn print_message(text: &str) {
    if let Some(sink) = MESSAGES.get() {
        sink.take(text);
    }
}

/// The operator's side of the machine.
pub struct Operator<H: Host> {
    host: &'static H,
    consoles: &'static Consoles<H>,
    outputs: &'static Outputs<H>,
    hypervisor: &'static Hypervisor<H>,
    /// The way to leave the machine, once that was ordered.
    leaving: Mutex<Option<PowerAction>>,
}

/// Starts the VMs of `config`, with the operator at the far end of their cables.
///
/// Call it once, as [`vmm::start`].
pub fn start<H: Host>(
    host: &'static H,
    config: &Config,
    modules: &[Module],
) -> &'static Operator<H> {
    let consoles: &'static Consoles<H> = Box::leak(Box::new(Consoles::new(host)));
    MESSAGES.call_once(|| consoles);
    let outputs: &'static Outputs<H> = Box::leak(Box::new(Outputs::new(consoles)));
    let hypervisor = vmm::start(host, config, modules, outputs);
    let first = hypervisor.vms().into_iter().next();
    if first.is_none() {
        log::warn!("no VM to run; press Ctrl-] for the operator's shell");
    }
    for console in consoles.iter() {
        let Some(vm) = &first else {
            console.set_focus(Focus::Shell);
            continue;
        };
        console.set_focus(Focus::on(vm.id(), vm.spec().console));
        // Past the log, whatever its level: without it nobody finds the shell.
        console.write(b"Press Ctrl-] for the operator's shell.\r\n");
    }
    Box::leak(Box::new(Operator {
        host,
        consoles,
        outputs,
        hypervisor,
        leaving: Mutex::new(None),
    }))
}

impl<H: Host> Operator<H> {
    /// Returns the machine.
    #[must_use]
    pub fn host(&self) -> &'static H {
        self.host
    }

    /// Returns the VMs.
    #[must_use]
    pub fn hypervisor(&self) -> &'static Hypervisor<H> {
        self.hypervisor
    }

    /// Returns the boot CPU's chores for the operator. Call it once, on that CPU.
    #[must_use]
    pub fn chores(&'static self) -> impl Chores {
        OperatorChores::new(self)
    }
}
