//! The operator's shell: a small prompt behind the escape key.

use crate::Hypervisor;
use crate::console::{Console, SHELL};
use crate::lifecycle::VmState;
use crate::vm::Vm;
use alloc::string::String;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt::{self, Write};
use embedded_cli::Command;
use embedded_cli::cli::{Cli, CliBuilder};
use host::{Host, PowerAction};
use vm_spec::After;

/// Longest command line.
const COMMAND_BYTES: usize = 128;
/// How much of the past can be called back.
const HISTORY_BYTES: usize = 512;

/// What the operator can say.
#[derive(Debug, Command)]
enum Order<'a> {
    /// List the VMs
    Vms,

    /// Show a VM: exits by reason, memory, vCPUs, devices
    Info {
        /// Which VM
        name: &'a str,
    },

    /// Give the console to a VM (Ctrl-] leads back here)
    Attach {
        /// Which VM
        name: &'a str,
    },

    /// Start a stopped VM
    Start {
        /// Which VM
        name: &'a str,
    },

    /// Stop a VM at once
    Stop {
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

    /// Show the last messages of the hypervisor
    Log,

    /// Show the machine: CPUs, memory, time
    Host,

    /// Reset the machine
    Reboot,

    /// Switch the machine off
    Poweroff,
}

/// Text for the console. The editor gives lines the ends a terminal wants.
struct Writer<H: Host>(&'static Console<H>);

impl<H: Host> embedded_io::ErrorType for Writer<H> {
    type Error = Infallible;
}

impl<H: Host> embedded_io::Write for Writer<H> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Editor<H> = Cli<Writer<H>, Infallible, [u8; COMMAND_BYTES], [u8; HISTORY_BYTES]>;

/// The shell with its line editor.
pub(crate) struct Shell<H: Host> {
    hypervisor: &'static Hypervisor<H>,
    editor: Option<Editor<H>>,
    /// The VM that had the console before.
    back_to: usize,
}

impl<H: Host> Shell<H> {
    pub(crate) fn new(hypervisor: &'static Hypervisor<H>) -> Self {
        Self {
            hypervisor,
            editor: None,
            back_to: 0,
        }
    }

    /// Takes the console from the VM that has it.
    pub(crate) fn open(&mut self) {
        let console = self.hypervisor.console;
        let focus = console.focus();
        if focus != SHELL {
            self.back_to = focus;
        }
        console.set_focus(SHELL);
        console.write(
            b"\r\nCaisson operator's shell: `help` lists the commands, Ctrl-] goes back.\r\n",
        );
        // The builder prints the prompt; a new editor each time leaves no half-typed line behind.
        self.editor = CliBuilder::default()
            .writer(Writer(console))
            .command_buffer([0; COMMAND_BYTES])
            .history_buffer([0; HISTORY_BYTES])
            .prompt("caisson> ")
            .build()
            .ok();
    }

    /// Gives the console back.
    pub(crate) fn close(&mut self) {
        if let Some(vm) = self.hypervisor.by_id(self.back_to) {
            self.attach(&vm);
        }
    }

    fn attach(&self, vm: &Vm<H>) {
        let text = alloc::format!(
            "\r\nconsole of vm {}; Ctrl-] leads to the shell\r\n",
            vm.name()
        );
        self.hypervisor.console.write(text.as_bytes());
        self.hypervisor.console.set_focus(vm.id());
        vm.board.uart.show_rest();
    }

    /// One byte typed by the operator.
    pub(crate) fn key(&mut self, byte: u8) {
        let Some(mut editor) = self.editor.take() else {
            return;
        };
        let mut attached = None;
        let shell = &*self;
        // The writer cannot fail, and what the editor refuses it has shown.
        let _ = editor.process_byte::<Order<'_>, _>(
            byte,
            &mut Order::processor(|cli, order| {
                let mut answer = String::new();
                // Writing to a string cannot fail.
                let _ = shell.carry_out(&order, &mut answer, &mut attached);
                cli.writer().write_str(&answer)?;
                Ok(())
            }),
        );
        self.editor = Some(editor);
        if let Some(vm) = attached {
            self.attach(&vm);
        }
    }

    fn carry_out(
        &self,
        order: &Order<'_>,
        out: &mut String,
        attached: &mut Option<Arc<Vm<H>>>,
    ) -> fmt::Result {
        let hypervisor = self.hypervisor;
        match *order {
            Order::Vms => self.list(out),
            Order::Info { name } => match self.find(name, out)? {
                Some(vm) => vm.inspect(out),
                None => Ok(()),
            },
            Order::Attach { name } => {
                *attached = self.find(name, out)?;
                Ok(())
            }
            Order::Start { name } => match self.find(name, out)? {
                Some(vm) if vm.start() => writeln!(out, "{name} starts"),
                Some(_) => writeln!(out, "{name} is not stopped"),
                None => Ok(()),
            },
            Order::Stop { name } => self.end(name, After::Stop, "stops", out),
            Order::Reset { name } => self.end(name, After::Restart, "restarts", out),
            Order::Button { name } => match self.find(name, out)? {
                Some(vm) => {
                    vm.board.press_power_button();
                    writeln!(out, "{name}: power button pressed")
                }
                None => Ok(()),
            },
            Order::Log => hypervisor.host.log_tail(out),
            Order::Host => self.host_page(out),
            Order::Reboot => {
                self.farewell("resetting the machine");
                hypervisor.host.power(PowerAction::Reset)
            }
            Order::Poweroff => {
                self.farewell("powering off");
                hypervisor.host.power(PowerAction::Off)
            }
        }
    }

    fn farewell(&self, what: &str) {
        let console = self.hypervisor.console;
        console.write(what.as_bytes());
        console.write(b"\r\n");
        console.drain();
    }

    fn find(&self, name: &str, out: &mut String) -> Result<Option<Arc<Vm<H>>>, fmt::Error> {
        let found = self.hypervisor.find(name);
        if found.is_none() {
            writeln!(out, "there is no VM {name:?}; `vms` lists them")?;
        }
        Ok(found)
    }

    fn end(&self, name: &str, then: After, verb: &str, out: &mut String) -> fmt::Result {
        let Some(vm) = self.find(name, out)? else {
            return Ok(());
        };
        if vm.end(then) {
            writeln!(out, "{name} {verb}")
        } else if then == After::Restart && vm.start() {
            writeln!(out, "{name} starts")
        } else {
            writeln!(out, "{name} is not running")
        }
    }

    fn list(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "{:<16} {:<8} {:>5} {:>9} {:>12}",
            "name", "state", "vCPUs", "memory", "exits"
        )?;
        for vm in self.hypervisor.vms() {
            let exits: u64 = vm
                .stats()
                .iter()
                .map(|stats| stats.exits().iter().sum::<u64>())
                .sum();
            let state = match vm.lifecycle().state() {
                VmState::Stopped => "stopped",
                VmState::Running => "running",
                VmState::Halting => "ending",
                VmState::Starting => "starting",
                VmState::Destroyed => "gone",
                VmState::Pausing => "pausing",
                VmState::Paused => "paused",
            };
            writeln!(
                out,
                "{:<16} {:<8} {:>5} {:>5} MiB {:>12}",
                vm.name(),
                state,
                vm.spec.cpus,
                vm.spec.memory_bytes >> 20,
                exits
            )?;
        }
        Ok(())
    }

    fn host_page(&self, out: &mut String) -> fmt::Result {
        let host = self.hypervisor.host;
        let memory = host.memory();
        writeln!(
            out,
            "{} CPUs at {} MHz (TSC), up {} s",
            host.cpu_count(),
            host.clock().khz() / 1000,
            host.now().as_ns() / 1_000_000_000
        )?;
        writeln!(
            out,
            "memory: {} MiB in all, {} MiB free, {} MiB guests, {} KiB files, {} KiB hypervisor",
            memory.total >> 20,
            memory.free >> 20,
            memory.guests >> 20,
            memory.files >> 10,
            memory.hypervisor >> 10
        )
    }
}
