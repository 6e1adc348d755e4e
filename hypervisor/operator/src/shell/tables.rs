//! Answers that are tables.

use crate::Operator;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use device::Page;
use host::Host;
use vmm::Vm;
use vmm::VmState;

/// A state in a word.
pub(super) fn state(state: VmState) -> &'static str {
    match state {
        VmState::Stopped => "stopped",
        VmState::Running => "running",
        VmState::Halting => "ending",
        VmState::Starting => "starting",
        VmState::Pausing => "pausing",
        VmState::Paused => "paused",
        VmState::Destroyed => "gone",
    }
}

/// All exits of a VM since it was made.
pub(super) fn exits<H: Host>(vm: &Vm<H>) -> u64 {
    vm.stats().iter().flat_map(|stats| stats.exits()).sum()
}

/// `vms`
pub(super) fn vms<H: Host>(operator: &Operator<H>, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "{:<16} {:<8} {:>5} {:>9} {:>12}",
        "name", "state", "vCPUs", "memory", "exits"
    )?;
    for vm in operator.hypervisor.vms() {
        writeln!(
            out,
            "{:<16} {:<8} {:>5} {:>5} MiB {:>12}",
            vm.name(),
            state(vm.lifecycle().state()),
            vm.spec().cpus,
            vm.spec().memory_bytes >> 20,
            exits(&vm)
        )?;
    }
    Ok(())
}

/// `host`
pub(super) fn host<H: Host>(operator: &Operator<H>, out: &mut String) -> fmt::Result {
    let host = operator.host;
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
    )?;
    let named = memory.image + memory.heap + memory.stacks + memory.tables + memory.guest_tables;
    writeln!(
        out,
        "the hypervisor's: image {} KiB, heap {} KiB, stacks {} KiB, page tables {} KiB, guests' page tables {} KiB, \
         CPUs' structures {} KiB",
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

/// `devices`
pub(super) fn devices<H: Host>(vm: &Vm<H>, out: &mut String) -> fmt::Result {
    writeln!(out, "{:<8} {:<4} at", "device", "wire")?;
    let buses = vm.board().bus().table();
    for slot in vm.board().slots() {
        let name = slot.name();
        let mut places: Vec<String> = Vec::new();
        let ports = buses.pio.ranges().filter(|(owner, ..)| *owner == name);
        places.extend(ports.map(|(_, first, last)| match first == last {
            true => alloc::format!("port {first:#x}"),
            false => alloc::format!("ports {first:#x}-{last:#x}"),
        }));
        let memory = buses.mmio.ranges().filter(|(owner, ..)| *owner == name);
        places.extend(memory.map(|(_, first, last)| alloc::format!("{first:#x}-{last:#x}")));
        let lines: Vec<String> = slot.lines().iter().map(u8::to_string).collect();
        let lines = if lines.is_empty() {
            "-".into()
        } else {
            lines.join(",")
        };
        writeln!(out, "{name:<8} {lines:<4} {}", places.join(", "))?;
    }
    Ok(())
}

/// `inspect`: one device or vCPU. Returns false when the VM has none of that name.
pub(super) fn part<H: Host>(vm: &Vm<H>, part: &str, out: &mut String) -> Result<bool, fmt::Error> {
    if let Some(id) = part.strip_prefix("vcpu").and_then(|id| id.parse().ok()) {
        return vm.inspect_vcpu(id, out);
    }
    let Some(slot) = vm.board().slots().iter().find(|slot| slot.name() == part) else {
        return Ok(false);
    };
    slot.inspect(&mut Page::new(out));
    Ok(true)
}

/// The parts that [`part`] knows.
pub(super) fn parts<H: Host>(vm: &Vm<H>) -> Vec<String> {
    let vcpus = (0..vm.spec().cpus).map(|id| alloc::format!("vcpu{id}"));
    let slots = vm
        .board()
        .slots()
        .iter()
        .map(|slot| String::from(slot.name()));
    slots.chain(vcpus).collect()
}
