//! What follows each command: its answer, and what else happens.

use super::orders::Order;
use super::pages::{PAGE_COLUMNS, Page, Pager, Rates};
use super::{Shell, Then, tables};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use host::{Host, PowerAction};
use vm_spec::After;
use vmm::Vm;
use vmm::VmState;

/// How long a VM may take to heed its power button.
const GRACE_NS: u64 = 30_000_000_000;

impl<H: Host> Shell<H> {
    /// Carries a command out.
    pub(super) fn carry_out(
        &self,
        order: &Order<'_>,
        out: &mut String,
        then: &mut Option<Then<H>>,
    ) -> fmt::Result {
        let operator = self.operator;
        match *order {
            Order::Vms => tables::vms(operator, out),
            Order::Top => {
                *then = Some(Then::Show(Page::Top(Rates::new(operator))));
                Ok(())
            }
            Order::Exits { name } => {
                if let Some(name) = name
                    && self.find(name, out)?.is_none()
                {
                    return Ok(());
                }
                let rates = Rates::new(operator);
                *then = Some(Then::Show(Page::Exits(name.map(String::from), rates)));
                Ok(())
            }
            Order::Create { spec, name } => match operator.hypervisor.create(spec, name) {
                Ok(vm) => writeln!(out, "{0} is there; `start {0}` starts it", vm.name()),
                Err(error) => writeln!(out, "{error}"),
            },
            Order::Copy { name, new } => match operator.hypervisor.copy(name, new) {
                Ok(_) => writeln!(
                    out,
                    "{new} becomes a copy of {name}; leave that paused meanwhile"
                ),
                Err(error) => writeln!(out, "{error}"),
            },
            Order::Destroy { name } => match operator.hypervisor.destroy(name) {
                Ok(()) => writeln!(out, "{name} is gone"),
                Err(vmm::DestroyError::NoVm) => no_vm(name, out),
                Err(error) => writeln!(out, "{name}: {error}"),
            },
            Order::Log => operator.host.log_tail(out),
            Order::Host => tables::host(operator, out),
            Order::Reboot => {
                self.farewell("resetting the machine");
                operator.host.power(PowerAction::Reset)
            }
            Order::Poweroff => {
                self.farewell("powering off");
                operator.host.power(PowerAction::Off)
            }
            Order::Attach { name, .. }
            | Order::Scrollback { name, .. }
            | Order::Start { name }
            | Order::Stop { name }
            | Order::Kill { name }
            | Order::Button { name }
            | Order::Reset { name }
            | Order::Pause { name }
            | Order::Resume { name }
            | Order::Info { name }
            | Order::Devices { name }
            | Order::SetWeight { name, .. }
            | Order::SetCap { name, .. }
            | Order::Inspect { name, .. } => match self.find(name, out)? {
                Some(vm) => self.carry_out_on(&vm, order, out, then),
                None => Ok(()),
            },
        }
    }

    /// What is said to one VM.
    fn carry_out_on(
        &self,
        vm: &Arc<Vm<H>>,
        order: &Order<'_>,
        out: &mut String,
        then: &mut Option<Then<H>>,
    ) -> fmt::Result {
        let name = vm.name();
        match *order {
            Order::Attach { view, .. } => {
                let is_screen = match view {
                    None if self.back_to.0 == vm.id() => self.back_to.1,
                    None => vm.spec().console == vm_spec::GuestConsole::Screen,
                    Some("serial") => false,
                    Some("screen") => true,
                    Some(other) => {
                        return writeln!(out, "there is no view {other:?}: `serial` or `screen`");
                    }
                };
                *then = Some(Then::Attach(vm.clone(), is_screen));
                Ok(())
            }
            Order::Scrollback { lines, .. } => {
                let output = self.operator.outputs.of(vm.id());
                let text = output.map_or(String::new(), |output| output.view.text(PAGE_COLUMNS));
                let Some(count) = lines else {
                    *then = Some(Then::Show(Page::Text(Pager::new(name.into(), text))));
                    return Ok(());
                };
                let lines: Vec<&str> = text.lines().collect();
                let first = lines.len().saturating_sub(count as usize);
                for line in lines.iter().skip(first) {
                    writeln!(out, "{line}")?;
                }
                Ok(())
            }
            Order::Start { .. } if vm.start() => writeln!(out, "{name} starts"),
            Order::Start { .. } => writeln!(out, "{name} is not stopped"),
            Order::Stop { .. } => self.stop(vm, out),
            Order::Kill { .. } if vm.kill() => writeln!(out, "{name} stops"),
            Order::Kill { .. } => writeln!(out, "{name} is not running"),
            Order::Button { .. } if !is_on(vm) => writeln!(out, "{name} is not running"),
            Order::Button { .. } => {
                vm.board().power_button().press();
                let unheard = if vm.board().power_button().is_heeded() {
                    ""
                } else {
                    "; its system does not listen to it"
                };
                writeln!(out, "{name}: power button pressed{unheard}")
            }
            Order::Reset { .. } if vm.end(After::Restart) => writeln!(out, "{name} restarts"),
            Order::Reset { .. } if vm.start() => writeln!(out, "{name} starts"),
            Order::Pause { .. } if vm.lifecycle().state() == VmState::Paused => {
                writeln!(
                    out,
                    "{name} is paused already; `resume {name}` lets it go on"
                )
            }
            Order::Pause { .. } if vm.pause() => {
                writeln!(out, "{name} pauses; `resume {name}` lets it go on")
            }
            Order::Resume { .. } if vm.resume() => writeln!(out, "{name} goes on"),
            Order::Resume { .. } if vm.lifecycle().state() == VmState::Running => {
                writeln!(out, "{name} runs already")
            }
            Order::Resume { .. } => writeln!(out, "{name} is not paused"),
            Order::Pause { .. } => writeln!(out, "{name} is not running"),
            Order::Reset { .. } => writeln!(out, "{name} is not running"),
            Order::SetWeight { weight, .. } if !(1..=vm_spec::MAX_WEIGHT).contains(&weight) => {
                writeln!(out, "a weight is from 1 to {}", vm_spec::MAX_WEIGHT)
            }
            Order::SetWeight { weight, .. } => {
                vm.set_weight(weight);
                writeln!(out, "{name} has weight {weight}")
            }
            Order::SetCap { percent: 0, .. } => {
                vm.set_cap(None);
                writeln!(out, "{name} has no cap")
            }
            Order::SetCap { percent, .. } => {
                vm.set_cap(Some(percent));
                writeln!(out, "{name} may use {percent} % of one CPU at most")
            }
            Order::Info { .. } => vm.inspect(out),
            Order::Devices { .. } => tables::devices(vm, out),
            Order::Inspect { part: None, .. } => vm.inspect(out),
            Order::Inspect {
                part: Some(part), ..
            } => {
                if !tables::part(vm, part, out)? {
                    writeln!(
                        out,
                        "{name} has no {part:?}; it has {}",
                        tables::parts(vm).join(", ")
                    )?;
                }
                Ok(())
            }
            // Those that name no VM.
            Order::Vms
            | Order::Top
            | Order::Exits { .. }
            | Order::Create { .. }
            | Order::Copy { .. }
            | Order::Destroy { .. }
            | Order::Log
            | Order::Host
            | Order::Reboot
            | Order::Poweroff => Ok(()),
        }
    }

    fn stop(&self, vm: &Vm<H>, out: &mut String) -> fmt::Result {
        let name = vm.name();
        if is_on(vm) && vm.board().power_button().is_heeded() && vm.stop_gently(GRACE_NS) {
            return writeln!(
                out,
                "{name}: power button pressed; stopped hard if it is not down in {} s",
                GRACE_NS / 1_000_000_000
            );
        }
        if vm.kill() {
            writeln!(
                out,
                "{name} stops at once: its system does not listen to a power button"
            )
        } else {
            writeln!(out, "{name} is not running")
        }
    }

    fn farewell(&self, what: &str) {
        let console = self.operator.console;
        let end = self.operator.host.now().after_ns(GRACE_NS / 10);
        while !self.outbox.lock().is_empty() && self.operator.host.now() < end {
            self.pump();
            console.flush();
        }
        console.write(what.as_bytes());
        console.write(b"\r\n");
        console.drain();
    }

    fn find(&self, name: &str, out: &mut String) -> Result<Option<Arc<Vm<H>>>, fmt::Error> {
        let found = self.operator.hypervisor.find(name);
        if found.is_none() {
            no_vm(name, out)?;
        }
        Ok(found)
    }
}

/// Whether it has a system that could hear a power button.
fn is_on<H: Host>(vm: &Vm<H>) -> bool {
    matches!(
        vm.lifecycle().state(),
        VmState::Running | VmState::Pausing | VmState::Paused
    )
}

fn no_vm(name: &str, out: &mut String) -> fmt::Result {
    writeln!(out, "there is no VM {name:?}; `vms` lists them")
}
