//! Carries commands out.

use super::{Command, DeviceReport, Done, HostReport, Page, Refused, Reply, VmSummary};
use crate::Operator;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use host::{Host, PowerAction};
use vm_spec::After;
use vmm::{DestroyError, Vm, VmState};

/// The longest that a VM may take to heed its power button.
const GRACE_NS: u64 = 30_000_000_000;

impl<H: Host> Operator<H> {
    /// Carries a command out. To be called on the boot CPU.
    ///
    /// [`Reply::Page`] and [`Reply::Attach`] ask the caller's session to do something. The machine
    /// is left a moment after [`Done::Resetting`] and [`Done::PoweringOff`], so that they can be
    /// told.
    pub fn execute(&self, command: Command) -> Reply {
        match command {
            Command::Vms => Reply::Vms(self.hypervisor.vms().iter().map(summary).collect()),
            Command::Top => Reply::Page(Page::Top),
            Command::Exits { name: None } => Reply::Page(Page::Exits { name: None }),
            Command::Exits { name: Some(name) } => self.with_vm(name, |_, name| {
                Reply::Page(Page::Exits { name: Some(name) })
            }),
            Command::Attach { name, view } => {
                self.with_vm(name, |_, name| Reply::Attach { name, view })
            }
            Command::Scrollback { name, lines: None } => {
                self.with_vm(name, |_, name| Reply::Page(Page::Scrollback { name }))
            }
            Command::Scrollback {
                name,
                lines: Some(lines),
            } => self.with_vm(name, |vm, _| self.scrollback(vm, lines as usize)),
            Command::Start { name } => self.with_vm(name, |vm, name| {
                let is_started = vm.start();
                answer(
                    is_started,
                    name,
                    |name| Done::Starting { name },
                    |name| Refused::NotStopped { name },
                )
            }),
            Command::Stop { name } => self.with_vm(name, |vm, name| stop(vm, name)),
            Command::Kill { name } => self.with_vm(name, |vm, name| {
                let is_killed = vm.kill();
                answer(is_killed, name, |name| Done::Killing { name }, not_running)
            }),
            Command::Button { name } => self.with_vm(name, |vm, name| button(vm, name)),
            Command::Reset { name } => self.with_vm(name, |vm, name| reset(vm, name)),
            Command::Pause { name } => self.with_vm(name, |vm, name| pause(vm, name)),
            Command::Resume { name } => self.with_vm(name, |vm, name| resume(vm, name)),
            Command::Create { spec, name } => self.create(&spec, name.as_deref()),
            Command::Copy { name, new } => self.copy(name, new),
            Command::Destroy { name } => self.destroy(name),
            Command::SetWeight { name, weight } => {
                self.with_vm(name, |vm, name| set_weight(vm, name, weight))
            }
            Command::SetCap { name, percent } => self.with_vm(name, |vm, name| {
                let percent = (percent != 0).then_some(percent);
                vm.set_cap(percent);
                Reply::Done(Done::Cap { name, percent })
            }),
            Command::Info { name } => self.with_vm(name, |vm, _| inspect_all(vm)),
            Command::Devices { name } => self.with_vm(name, |vm, _| devices(vm)),
            Command::Inspect { name, part: None } => self.with_vm(name, |vm, _| inspect_all(vm)),
            Command::Inspect {
                name,
                part: Some(part),
            } => self.with_vm(name, |vm, name| inspect_part(vm, name, part)),
            Command::Log => self.log(),
            Command::Host => Reply::Host(self.host_report()),
            Command::Reboot => self.leave(PowerAction::Reset, Done::Resetting),
            Command::Poweroff => self.leave(PowerAction::Off, Done::PoweringOff),
        }
    }

    /// Does something with a VM, if there is one of this name.
    fn with_vm(&self, name: String, act: impl FnOnce(&Arc<Vm<H>>, String) -> Reply) -> Reply {
        match self.hypervisor.find(&name) {
            Some(vm) => act(&vm, name),
            None => Reply::Refused(Refused::NoVm { name }),
        }
    }

    fn scrollback(&self, vm: &Vm<H>, count: usize) -> Reply {
        let output = self.outputs.of(vm.id());
        let mut text = output.map_or(String::new(), |output| output.view.text());
        let first = text.lines().count().saturating_sub(count);
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let from = core::iter::once(0).chain(ends).nth(first);
        text.drain(..from.unwrap_or_default());
        Reply::Scrollback(text)
    }

    fn create(&self, spec: &str, name: Option<&str>) -> Reply {
        match self.hypervisor.create(spec, name) {
            Ok(vm) => Reply::Done(Done::Created {
                name: vm.name().into(),
            }),
            Err(error) => Reply::Refused(Refused::NotCreated(error.into())),
        }
    }

    fn copy(&self, name: String, new: String) -> Reply {
        match self.hypervisor.copy(&name, &new) {
            Ok(_) => Reply::Done(Done::Copying { name, new }),
            Err(error) => Reply::Refused(Refused::NotCreated(error.into())),
        }
    }

    fn destroy(&self, name: String) -> Reply {
        match self.hypervisor.destroy(&name) {
            Ok(()) => Reply::Done(Done::Destroyed { name }),
            Err(DestroyError::NoVm) => Reply::Refused(Refused::NoVm { name }),
            Err(DestroyError::NotStopped) => Reply::Refused(Refused::NotDestroyed { name }),
        }
    }

    fn log(&self) -> Reply {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.host.log_tail(&mut text);
        Reply::Log(text)
    }

    fn host_report(&self) -> HostReport {
        HostReport {
            cpus: self.host.cpu_count(),
            tsc_khz: self.host.clock().khz(),
            up_ns: self.host.now().as_ns(),
            memory: self.host.memory().into(),
        }
    }

    fn leave(&self, action: PowerAction, done: Done) -> Reply {
        *self.leaving.lock() = Some(action);
        Reply::Done(done)
    }
}

/// Replies with what was done to a VM, or why it was not.
fn answer(
    is_done: bool,
    name: String,
    done: fn(String) -> Done,
    refused: fn(String) -> Refused,
) -> Reply {
    if is_done {
        Reply::Done(done(name))
    } else {
        Reply::Refused(refused(name))
    }
}

fn not_running(name: String) -> Refused {
    Refused::NotRunning { name }
}

fn summary<H: Host>(vm: &Arc<Vm<H>>) -> VmSummary {
    VmSummary {
        name: vm.name().into(),
        state: vm.lifecycle().state().into(),
        cpus: vm.spec().cpus,
        memory_bytes: vm.spec().memory_bytes,
        exits: vm.stats().iter().map(|stats| stats.total_exits()).sum(),
    }
}

/// Returns whether the VM has a system that could hear a power button.
fn is_on<H: Host>(vm: &Vm<H>) -> bool {
    matches!(
        vm.lifecycle().state(),
        VmState::Running | VmState::Pausing | VmState::Paused
    )
}

fn stop<H: Host>(vm: &Vm<H>, name: String) -> Reply {
    if is_on(vm) && vm.board().power_button().is_heeded() && vm.stop_gently(GRACE_NS) {
        let after_ns = GRACE_NS;
        return Reply::Done(Done::Stopping { name, after_ns });
    }
    let unheard = |name| Done::StoppingUnheard { name };
    answer(vm.kill(), name, unheard, not_running)
}

fn button<H: Host>(vm: &Vm<H>, name: String) -> Reply {
    if !is_on(vm) {
        return Reply::Refused(not_running(name));
    }
    let button = vm.board().power_button();
    button.press();
    let is_heeded = button.is_heeded();
    Reply::Done(Done::ButtonPressed { name, is_heeded })
}

fn reset<H: Host>(vm: &Vm<H>, name: String) -> Reply {
    if vm.end(After::Restart) {
        return Reply::Done(Done::Restarting { name });
    }
    answer(
        vm.start(),
        name,
        |name| Done::Starting { name },
        not_running,
    )
}

fn pause<H: Host>(vm: &Vm<H>, name: String) -> Reply {
    if vm.lifecycle().state() == VmState::Paused {
        return Reply::Refused(Refused::PausedAlready { name });
    }
    answer(vm.pause(), name, |name| Done::Pausing { name }, not_running)
}

fn resume<H: Host>(vm: &Vm<H>, name: String) -> Reply {
    if vm.resume() {
        return Reply::Done(Done::Resumed { name });
    }
    Reply::Refused(if vm.lifecycle().state() == VmState::Running {
        Refused::RunningAlready { name }
    } else {
        Refused::NotPaused { name }
    })
}

fn set_weight<H: Host>(vm: &Vm<H>, name: String, weight: u32) -> Reply {
    let (min, max) = (1, vm_spec::MAX_WEIGHT);
    if !(min..=max).contains(&weight) {
        return Reply::Refused(Refused::BadWeight { min, max });
    }
    vm.set_weight(weight);
    Reply::Done(Done::Weight { name, weight })
}

fn inspect_all<H: Host>(vm: &Vm<H>) -> Reply {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = vm.inspect(&mut text);
    Reply::Inspection(text)
}

fn inspect_part<H: Host>(vm: &Vm<H>, name: String, part: String) -> Reply {
    let mut text = String::new();
    let vcpu = part.strip_prefix("vcpu").and_then(|id| id.parse().ok());
    let is_there = if let Some(id) = vcpu {
        // Writing to a string cannot fail.
        vm.inspect_vcpu(id, &mut text).unwrap_or_default()
    } else {
        let slot = vm.board().slots().iter().find(|slot| slot.name() == part);
        slot.is_some_and(|slot| {
            slot.inspect(&mut device::Page::new(&mut text));
            true
        })
    };
    if is_there {
        return Reply::Inspection(text);
    }
    let parts = parts(vm);
    Reply::Refused(Refused::NoPart { name, part, parts })
}

/// Returns the names of what can be inspected of a VM.
pub(crate) fn parts<H: Host>(vm: &Vm<H>) -> Vec<String> {
    let slots = vm.board().slots().iter();
    let slots = slots.map(|slot| String::from(slot.name()));
    let vcpus = (0..vm.spec().cpus).map(|id| alloc::format!("vcpu{id}"));
    slots.chain(vcpus).collect()
}

fn devices<H: Host>(vm: &Vm<H>) -> Reply {
    let buses = vm.board().bus().table();
    let reports = vm.board().slots().iter().map(|slot| {
        let name = slot.name();
        let ports = buses.pio.ranges().filter(|(owner, ..)| *owner == name);
        let memory = buses.mmio.ranges().filter(|(owner, ..)| *owner == name);
        DeviceReport {
            name: name.into(),
            lines: slot.lines(),
            ports: ports.map(|(_, first, last)| first..=last).collect(),
            memory: memory.map(|(_, first, last)| first..=last).collect(),
        }
    });
    Reply::Devices(reports.collect())
}
