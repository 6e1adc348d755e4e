//! The one table of commands: their names, arguments and texts. The shell's `help`, its completion
//! and its parser follow it.

use super::Command;
use super::parse::{Arguments, Mistake};
use core::fmt;

/// A command as the shell knows it.
pub(crate) struct CommandInfo {
    /// The word that is typed.
    pub(crate) name: &'static str,
    /// The arguments; those that may be absent come last.
    pub(crate) arguments: &'static [Argument],
    /// The command in a line.
    pub(crate) summary: &'static str,
    /// More about it; may be empty.
    pub(crate) details: &'static str,
    /// Takes the arguments and makes the command.
    pub(super) make: fn(&mut Arguments<'_>) -> Result<Command, Mistake>,
}

/// An argument of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    /// Its name in the help.
    pub(crate) name: &'static str,
    /// Its kind.
    pub(crate) kind: Kind,
    /// Set if it may be absent.
    pub(crate) is_optional: bool,
    /// The argument in a line.
    pub(crate) help: &'static str,
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A VM.
    Vm,
    /// A VM or template of the configuration.
    Spec,
    /// The name of a VM that does not exist yet.
    NewName,
    /// One of a VM's consoles.
    View,
    /// A device or vCPU of the VM that is named before it.
    Part,
    /// A number.
    Number,
}

impl Kind {
    /// A VM's serial port, as a view.
    pub(crate) const SERIAL: &'static str = "serial";
    /// A VM's screen, as a view.
    pub(crate) const SCREEN: &'static str = "screen";
}

impl fmt::Display for Argument {
    /// Writes it as the help shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_optional {
            write!(f, "[{}]", self.name)
        } else {
            write!(f, "<{}>", self.name)
        }
    }
}

impl Argument {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            is_optional: false,
            help,
        }
    }

    const fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }
}

const VM: Argument = Argument::new("NAME", Kind::Vm, "Which VM");

impl CommandInfo {
    const fn new(
        name: &'static str,
        arguments: &'static [Argument],
        summary: &'static str,
        make: fn(&mut Arguments<'_>) -> Result<Command, Mistake>,
    ) -> Self {
        Self {
            name,
            arguments,
            summary,
            details: "",
            make,
        }
    }

    const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }
}

/// Returns what the shell knows of the command `name`.
pub(crate) fn info(name: &str) -> Option<&'static CommandInfo> {
    COMMANDS.iter().find(|info| info.name == name)
}

/// All commands, in the order in which `help` lists them.
pub(crate) static COMMANDS: [CommandInfo; 24] = [
    CommandInfo::new("vms", &[], "List the VMs", |_| Ok(Command::Vms)),
    CommandInfo::new(
        "top",
        &[],
        "Live table of all VMs and CPUs; any key ends it",
        |_| Ok(Command::Top),
    ),
    CommandInfo::new(
        "exits",
        &[Argument::new("NAME", Kind::Vm, "Which VM; all of them if none is named").optional()],
        "Live exits per second by reason; any key ends it",
        |arguments| {
            let name = arguments.optional_word();
            Ok(Command::Exits { name })
        },
    ),
    CommandInfo::new(
        "attach",
        &[
            VM,
            Argument::new(
                "VIEW",
                Kind::View,
                "`serial` or `screen`; what the VM had last if absent",
            )
            .optional(),
        ],
        "Give the console to a VM (Ctrl-] leads back here)",
        |arguments| {
            let name = arguments.word()?;
            let view = arguments.optional_view()?;
            Ok(Command::Attach { name, view })
        },
    )
    .details("The serial port and the screen may each show another VM: only this one changes."),
    CommandInfo::new(
        "scrollback",
        &[
            VM,
            Argument::new(
                "LINES",
                Kind::Number,
                "How many lines; without it they can be paged through",
            )
            .optional(),
        ],
        "Show what a VM has printed on its serial port (text from its debug ports is not kept)",
        |arguments| {
            let name = arguments.word()?;
            let lines = arguments.optional_number()?;
            Ok(Command::Scrollback { name, lines })
        },
    ),
    CommandInfo::new("start", &[VM], "Start a stopped VM", |arguments| {
        let name = arguments.word()?;
        Ok(Command::Start { name })
    }),
    CommandInfo::new(
        "stop",
        &[VM],
        "Press a VM's power button; stop it hard if it is not down in 30 s",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Stop { name })
        },
    )
    .details("A VM whose system does not listen to the button is stopped at once."),
    CommandInfo::new("kill", &[VM], "Stop a VM at once", |arguments| {
        let name = arguments.word()?;
        Ok(Command::Kill { name })
    }),
    CommandInfo::new(
        "button",
        &[VM],
        "Press a VM's power button: its system shuts down by itself",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Button { name })
        },
    ),
    CommandInfo::new("reset", &[VM], "Reset a VM", |arguments| {
        let name = arguments.word()?;
        Ok(Command::Reset { name })
    })
    .details("A VM that is stopped is started."),
    CommandInfo::new(
        "pause",
        &[VM],
        "Hold a VM: nothing of it runs, and its time stands still",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Pause { name })
        },
    ),
    CommandInfo::new("resume", &[VM], "Let a paused VM go on", |arguments| {
        let name = arguments.word()?;
        Ok(Command::Resume { name })
    }),
    CommandInfo::new(
        "create",
        &[
            Argument::new("SPEC", Kind::Spec, "Which VM or template of caisson.toml"),
            Argument::new(
                "NAME",
                Kind::NewName,
                "What to call it; the same as there if absent",
            )
            .optional(),
        ],
        "Make a new VM as the configuration says",
        |arguments| {
            let spec = arguments.word()?;
            let name = arguments.optional_word();
            Ok(Command::Create { spec, name })
        },
    ),
    CommandInfo::new(
        "copy",
        &[
            VM,
            Argument::new("NEW", Kind::NewName, "What to call the new one"),
        ],
        "Make a new VM that is what a paused one is, memory and all; it is paused, too",
        |arguments| {
            let name = arguments.word()?;
            let new = arguments.word()?;
            Ok(Command::Copy { name, new })
        },
    ),
    CommandInfo::new(
        "destroy",
        &[VM],
        "Take a stopped VM away, with its memory",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Destroy { name })
        },
    ),
    CommandInfo::new(
        "set-weight",
        &[
            VM,
            Argument::new(
                "WEIGHT",
                Kind::Number,
                "The weight of each of its vCPUs, from 1",
            ),
        ],
        "Change a VM's share of the CPUs (100 unless the configuration says otherwise)",
        |arguments| {
            let name = arguments.word()?;
            let weight = arguments.number()?;
            Ok(Command::SetWeight { name, weight })
        },
    ),
    CommandInfo::new(
        "set-cap",
        &[
            VM,
            Argument::new(
                "PERCENT",
                Kind::Number,
                "Percent of one CPU for all its vCPUs together; 0 for no limit",
            ),
        ],
        "Change what a VM may use of the CPUs at most",
        |arguments| {
            let name = arguments.word()?;
            let percent = arguments.number()?;
            Ok(Command::SetCap { name, percent })
        },
    ),
    CommandInfo::new(
        "info",
        &[VM],
        "Show a VM: exits by reason, memory, vCPUs, devices",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Info { name })
        },
    ),
    CommandInfo::new(
        "devices",
        &[VM],
        "List a VM's devices with their addresses and wires",
        |arguments| {
            let name = arguments.word()?;
            Ok(Command::Devices { name })
        },
    ),
    CommandInfo::new(
        "inspect",
        &[
            VM,
            Argument::new(
                "PART",
                Kind::Part,
                "A device's name, or vcpu0, vcpu1 and so on",
            )
            .optional(),
        ],
        "Show one device or vCPU of a VM, or all of it",
        |arguments| {
            let name = arguments.word()?;
            let part = arguments.optional_word();
            Ok(Command::Inspect { name, part })
        },
    ),
    CommandInfo::new(
        "log",
        &[],
        "Show the last messages of the hypervisor",
        |_| Ok(Command::Log),
    ),
    CommandInfo::new("host", &[], "Show the machine: CPUs, memory, time", |_| {
        Ok(Command::Host)
    }),
    CommandInfo::new(
        "reboot",
        &[],
        "Reset the machine; VMs that run are lost (under `cargo xtask run` the emulator ends)",
        |_| Ok(Command::Reboot),
    ),
    CommandInfo::new(
        "poweroff",
        &[],
        "Switch the machine off; VMs that run are lost",
        |_| Ok(Command::Poweroff),
    ),
];

#[cfg(test)]
mod tests;
