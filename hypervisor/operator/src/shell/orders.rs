//! What the operator can say.

use embedded_cli::Command;

/// A command.
#[derive(Debug, Command)]
pub(super) enum Order<'a> {
    /// List the VMs
    Vms,

    /// Live table of all VMs and CPUs; any key ends it
    Top,

    /// Live exits per second by reason; any key ends it
    Exits {
        /// Which VM; all of them if none is named
        name: Option<&'a str>,
    },

    /// Give the console to a VM (Ctrl-] leads back here)
    Attach {
        /// Which VM
        name: &'a str,
        /// `serial` or `screen`; what the VM had last if absent
        view: Option<&'a str>,
    },

    /// Show what a VM has printed on its serial port (text from its debug ports is not kept)
    Scrollback {
        /// Which VM
        name: &'a str,
        /// How many lines; without it they can be paged through
        lines: Option<u32>,
    },

    /// Start a stopped VM
    Start {
        /// Which VM
        name: &'a str,
    },

    /// Press a VM's power button; stop it hard if it is not down in 30 s
    Stop {
        /// Which VM
        name: &'a str,
    },

    /// Stop a VM at once
    Kill {
        /// Which VM
        name: &'a str,
    },

    /// Press a VM's power button: its system shuts down by itself
    Button {
        /// Which VM
        name: &'a str,
    },

    /// Reset a VM
    Reset {
        /// Which VM
        name: &'a str,
    },

    /// Hold a VM: nothing of it runs, and its time stands still
    Pause {
        /// Which VM
        name: &'a str,
    },

    /// Let a paused VM go on
    Resume {
        /// Which VM
        name: &'a str,
    },

    /// Make a new VM as the configuration says
    Create {
        /// Which VM or template of caisson.toml
        spec: &'a str,
        /// What to call it; the same as there if absent
        name: Option<&'a str>,
    },

    /// Make a new VM that is what a paused one is, memory and all; it is paused, too
    Copy {
        /// Which VM
        name: &'a str,
        /// What to call the new one
        new: &'a str,
    },

    /// Take a stopped VM away, with its memory
    Destroy {
        /// Which VM
        name: &'a str,
    },

    /// Change a VM's share of the CPUs (100 unless the configuration says otherwise)
    SetWeight {
        /// Which VM
        name: &'a str,
        /// The weight of each of its vCPUs, from 1
        weight: u32,
    },

    /// Change what a VM may use of the CPUs at most
    SetCap {
        /// Which VM
        name: &'a str,
        /// Percent of one CPU for all its vCPUs together; 0 for no limit
        percent: u32,
    },

    /// Show a VM: exits by reason, memory, vCPUs, devices
    Info {
        /// Which VM
        name: &'a str,
    },

    /// List a VM's devices with their addresses and wires
    Devices {
        /// Which VM
        name: &'a str,
    },

    /// Show one device or vCPU of a VM, or all of it
    Inspect {
        /// Which VM
        name: &'a str,
        /// A device's name, or vcpu0, vcpu1 and so on
        part: Option<&'a str>,
    },

    /// Show the last messages of the hypervisor
    Log,

    /// Show the machine: CPUs, memory, time
    Host,

    /// Reset the machine; VMs that run are lost (under `cargo xtask run` the emulator ends)
    Reboot,

    /// Switch the machine off; VMs that run are lost
    Poweroff,
}

impl Order<'_> {
    /// Whether nothing may follow its name.
    pub(super) fn stands_alone(&self) -> bool {
        matches!(
            self,
            Self::Vms | Self::Top | Self::Log | Self::Host | Self::Reboot | Self::Poweroff
        )
    }
}
