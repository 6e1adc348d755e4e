//! The text of replies.

use crate::command::{
    DeviceReport, Done, HostReport, NotCreated, Refused, Reply, State, VmSummary,
};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::ops::RangeInclusive;

/// Returns a state in a word.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::Running => "running",
        State::Ending => "ending",
        State::Starting => "starting",
        State::Pausing => "pausing",
        State::Paused => "paused",
        State::Gone => "gone",
    }
}

/// Writes a reply in whole lines.
///
/// [`Reply::Page`] and [`Reply::Attach`] have no text: they are for the session.
///
/// # Errors
/// Those of `out`.
pub(crate) fn render(reply: &Reply, out: &mut dyn Write) -> fmt::Result {
    match reply {
        Reply::Vms(vms) => render_vms(vms, out),
        Reply::Host(report) => render_host(report, out),
        Reply::Devices(devices) => render_devices(devices, out),
        Reply::Inspection(text) | Reply::Log(text) | Reply::Scrollback(text) => {
            text.lines().try_for_each(|line| writeln!(out, "{line}"))
        }
        Reply::Done(done) => render_done(done, out),
        Reply::Refused(refused) => render_refused(refused, out),
        Reply::Page(_) | Reply::Attach { .. } => Ok(()),
    }
}

fn render_vms(vms: &[VmSummary], out: &mut dyn Write) -> fmt::Result {
    writeln!(
        out,
        "{:<16} {:<8} {:>5} {:>9} {:>12}",
        "name", "state", "vCPUs", "memory", "exits"
    )?;
    for vm in vms {
        writeln!(
            out,
            "{:<16} {:<8} {:>5} {:>5} MiB {:>12}",
            vm.name,
            state(vm.state),
            vm.cpus,
            vm.memory_bytes >> 20,
            vm.exits
        )?;
    }
    Ok(())
}

fn render_host(report: &HostReport, out: &mut dyn Write) -> fmt::Result {
    let memory = &report.memory;
    writeln!(
        out,
        "{} CPUs at {} MHz (TSC), up {} s",
        report.cpus,
        report.tsc_khz / 1000,
        report.up_ns / 1_000_000_000
    )?;
    writeln!(
        out,
        "memory: {} MiB in all, {} MiB free, {} MiB guests, {} KiB files, {} KiB hypervisor",
        memory.total >> 20,
        memory.free >> 20,
        memory.guests >> 20,
        memory.files >> 10,
        memory.hypervisor >> 10
    )?;
    let named = memory.image + memory.heap + memory.stacks + memory.tables + memory.guest_tables;
    writeln!(
        out,
        "the hypervisor's: image {} KiB, heap {} KiB, stacks {} KiB, page tables {} KiB, \
         guests' page tables {} KiB, CPUs' structures {} KiB",
        memory.image >> 10,
        memory.heap >> 10,
        memory.stacks >> 10,
        memory.tables >> 10,
        memory.guest_tables >> 10,
        memory.hypervisor.saturating_sub(named) >> 10
    )?;
    writeln!(
        out,
        "to the byte: {} free, {} of the heap in use",
        memory.free, memory.heap_used
    )
}

fn render_devices(devices: &[DeviceReport], out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{:<8} {:<4} at", "device", "wire")?;
    for device in devices {
        let ports = device.ports.iter().map(ports);
        let memory = device.memory.iter();
        let memory = memory.map(|range| alloc::format!("{:#x}-{:#x}", range.start(), range.end()));
        let places: Vec<String> = ports.chain(memory).collect();
        let lines: Vec<String> = device.lines.iter().map(u8::to_string).collect();
        let lines = if lines.is_empty() {
            "-".into()
        } else {
            lines.join(",")
        };
        writeln!(out, "{:<8} {lines:<4} {}", device.name, places.join(", "))?;
    }
    Ok(())
}

fn ports(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last {
        alloc::format!("port {first:#x}")
    } else {
        alloc::format!("ports {first:#x}-{last:#x}")
    }
}

fn render_done(done: &Done, out: &mut dyn Write) -> fmt::Result {
    match done {
        Done::Created { name } => writeln!(out, "{name} is there; `start {name}` starts it"),
        Done::Copying { name, new } => writeln!(
            out,
            "{new} becomes a copy of {name}; leave that paused meanwhile"
        ),
        Done::Destroyed { name } => writeln!(out, "{name} is gone"),
        Done::Starting { name } => writeln!(out, "{name} starts"),
        Done::Restarting { name } => writeln!(out, "{name} restarts"),
        Done::Stopping { name, after_ns } => writeln!(
            out,
            "{name}: power button pressed; stopped hard if it is not down in {} s",
            after_ns / 1_000_000_000
        ),
        Done::StoppingUnheard { name } => writeln!(
            out,
            "{name} stops at once: its system does not listen to a power button"
        ),
        Done::Killing { name } => writeln!(out, "{name} stops"),
        Done::ButtonPressed { name, is_heeded } => {
            let unheard = match is_heeded {
                true => "",
                false => "; its system does not listen to it",
            };
            writeln!(out, "{name}: power button pressed{unheard}")
        }
        Done::Pausing { name } => writeln!(out, "{name} pauses; `resume {name}` lets it go on"),
        Done::Resumed { name } => writeln!(out, "{name} goes on"),
        Done::Weight { name, weight } => writeln!(out, "{name} has weight {weight}"),
        Done::Cap {
            name,
            percent: Some(percent),
        } => writeln!(out, "{name} may use {percent} % of one CPU at most"),
        Done::Cap {
            name,
            percent: None,
        } => writeln!(out, "{name} has no cap"),
        Done::Resetting => writeln!(out, "resetting the machine"),
        Done::PoweringOff => writeln!(out, "powering off"),
    }
}

fn render_refused(refused: &Refused, out: &mut dyn Write) -> fmt::Result {
    match refused {
        Refused::NoVm { name } => writeln!(out, "there is no VM {name:?}; `vms` lists them"),
        Refused::NotStopped { name } => writeln!(out, "{name} is not stopped"),
        Refused::NotDestroyed { name } => {
            writeln!(out, "{name}: it is not stopped; `kill` stops it at once")
        }
        Refused::NotRunning { name } => writeln!(out, "{name} is not running"),
        Refused::NotPaused { name } => writeln!(out, "{name} is not paused"),
        Refused::PausedAlready { name } => writeln!(
            out,
            "{name} is paused already; `resume {name}` lets it go on"
        ),
        Refused::RunningAlready { name } => writeln!(out, "{name} runs already"),
        Refused::BadWeight { min, max } => writeln!(out, "a weight is from {min} to {max}"),
        Refused::NoPart { name, part, parts } => {
            writeln!(out, "{name} has no {part:?}; it has {}", parts.join(", "))
        }
        Refused::NotCreated(why) => render_not_created(why, out),
    }
}

fn render_not_created(why: &NotCreated, out: &mut dyn Write) -> fmt::Result {
    match why {
        NotCreated::NoSpec { name } => {
            writeln!(out, "caisson.toml has no VM or template {name:?}")
        }
        NotCreated::BadName { name } => writeln!(
            out,
            "a VM cannot be called {name:?}: 1 to {} letters, digits, - and _",
            vm_spec::MAX_NAME_BYTES
        ),
        NotCreated::Taken { name } => writeln!(out, "there is a VM {name:?} already"),
        NotCreated::NoOriginal { name } => writeln!(out, "there is no VM {name:?}"),
        NotCreated::OriginalRuns => writeln!(out, "only a paused VM can be copied"),
        NotCreated::NoMemory {
            wanted_bytes,
            free_bytes,
        } => writeln!(
            out,
            "it wants {} MiB of memory and {} MiB are free; give it less in caisson.toml",
            wanted_bytes >> 20,
            free_bytes >> 20
        ),
        NotCreated::Other { reason } => writeln!(out, "{reason}"),
    }
}

#[cfg(test)]
mod tests;
