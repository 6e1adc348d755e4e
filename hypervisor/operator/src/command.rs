//! Commands of the operator as data: [`Command`] in, [`Reply`] out.
//!
//! The shell parses what is typed by the table in `command/table.rs` and prints the reply with
//! `render.rs`; whatever else operates the machine sends a [`Command`] and reads the [`Reply`].

mod execute;
mod parse;
mod reply;
mod table;

pub(crate) use execute::parts;
pub(crate) use parse::{Mistake, parse};
pub use reply::{
    DeviceReport, Done, HostReport, MemoryUse, NotCreated, Page, Refused, Reply, State, VmSummary,
};
pub(crate) use table::{COMMANDS, CommandInfo, Kind, info};

use alloc::string::String;
use serde::{Deserialize, Serialize};
use vm_spec::GuestConsole;

/// One command. In serialized form it is called what it is called in the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Lists the VMs.
    Vms,
    /// Shows a live table of all VMs and CPUs.
    Top,
    /// Shows exits per second by reason.
    Exits {
        /// The VM; all of them if absent.
        name: Option<String>,
    },
    /// Gives a session's terminal to a VM.
    Attach {
        /// The VM.
        name: String,
        /// Which of its consoles; the one that the session had last if absent.
        view: Option<GuestConsole>,
    },
    /// Shows what a VM has printed on its serial port.
    Scrollback {
        /// The VM.
        name: String,
        /// The number of lines; a page to leaf through if absent.
        lines: Option<u32>,
    },
    /// Starts a stopped VM.
    Start {
        /// The VM.
        name: String,
    },
    /// Presses a VM's power button and stops the VM hard if it is not down after a while.
    Stop {
        /// The VM.
        name: String,
    },
    /// Stops a VM at once.
    Kill {
        /// The VM.
        name: String,
    },
    /// Presses a VM's power button.
    Button {
        /// The VM.
        name: String,
    },
    /// Resets a VM; starts one that is stopped.
    Reset {
        /// The VM.
        name: String,
    },
    /// Pauses a VM.
    Pause {
        /// The VM.
        name: String,
    },
    /// Resumes a paused VM.
    Resume {
        /// The VM.
        name: String,
    },
    /// Creates a VM from the configuration.
    Create {
        /// The VM or template of the configuration.
        spec: String,
        /// The new VM's name; `spec` if absent.
        name: Option<String>,
    },
    /// Copies a paused VM.
    Copy {
        /// The VM.
        name: String,
        /// The copy's name.
        new: String,
    },
    /// Destroys a stopped VM.
    Destroy {
        /// The VM.
        name: String,
    },
    /// Sets the weight of a VM's vCPUs.
    SetWeight {
        /// The VM.
        name: String,
        /// From 1 to [`vm_spec::MAX_WEIGHT`].
        weight: u32,
    },
    /// Sets what a VM may use of the CPUs at most.
    SetCap {
        /// The VM.
        name: String,
        /// Percent of one CPU; 0 for no limit.
        percent: u32,
    },
    /// Shows all of a VM.
    Info {
        /// The VM.
        name: String,
    },
    /// Lists a VM's devices.
    Devices {
        /// The VM.
        name: String,
    },
    /// Shows a part of a VM.
    Inspect {
        /// The VM.
        name: String,
        /// A device, or `vcpu0`, `vcpu1` and so on; all of the VM if absent.
        part: Option<String>,
    },
    /// Shows the last messages of the hypervisor.
    Log,
    /// Shows the machine.
    Host,
    /// Resets the machine.
    Reboot,
    /// Switches the machine off.
    Poweroff,
}
