//! A session's status line: what has the focus, how the VMs are, how busy the CPUs are.

use crate::Operator;
use crate::console::Console;
use crate::focus::Focus;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::{self, Write};
use host::Host;
use time::Instant;
use vmm::Vm;
use vmm::VmState;

/// The time after which it is renewed.
const REFRESH_NS: u64 = 1_000_000_000;

/// The numbers that the line was last made from.
#[derive(Default)]
pub(crate) struct StatusLine {
    due: Instant,
    taken: Instant,
    idle_ns: u64,
    focus: Option<Focus>,
}

impl StatusLine {
    /// Writes the line anew when it is time, or when the focus has changed.
    pub(crate) fn refresh<H: Host>(
        &mut self,
        operator: &Operator<H>,
        console: &Console<H>,
        vms: &[Arc<Vm<H>>],
        now: Instant,
    ) {
        let focus = Some(console.focus());
        if now < self.due && focus == self.focus {
            return;
        }
        let idle_ns: u64 = operator.hypervisor.idle_ns().sum();
        let passed_ns = now.as_ns().saturating_sub(self.taken.as_ns());
        let all_ns = passed_ns * u64::from(operator.host.cpu_count());
        let load = busy_percent(idle_ns.saturating_sub(self.idle_ns), all_ns);
        (self.taken, self.idle_ns, self.focus) = (now, idle_ns, focus);
        self.due = now.after_ns(REFRESH_NS);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write_line(console, vms, load, now, &mut text);
        operator.host.terminal_status(console.terminal(), &text);
    }
}

/// Returns how much of a time was not idle, in percent.
pub(crate) fn busy_percent(idle_ns: u64, all_ns: u64) -> u64 {
    let busy = all_ns.saturating_sub(idle_ns);
    (u128::from(busy) * 100 / u128::from(all_ns.max(1))) as u64
}

fn write_line<H: Host>(
    console: &Console<H>,
    vms: &[Arc<Vm<H>>],
    load: u64,
    now: Instant,
    out: &mut String,
) -> fmt::Result {
    let focus = console.focus();
    let vm = |id| vms.iter().find(|vm| vm.id() == id);
    let name = |id| vm(id).map_or("nobody", |vm| vm.name());
    match focus {
        Focus::Shell => write!(out, " shell")?,
        Focus::Serial(id) => write!(out, " {}", name(id))?,
        Focus::Screen(id) => write!(out, " {} (screen)", name(id))?,
    }
    let count = |wanted: &[VmState]| {
        let states = vms.iter().map(|vm| vm.lifecycle().state());
        states.filter(|state| wanted.contains(state)).count()
    };
    let running = [VmState::Running, VmState::Starting, VmState::Halting];
    write!(out, " | {} running", count(&running))?;
    let paused = count(&[VmState::Paused, VmState::Pausing]);
    if paused != 0 {
        write!(out, ", {paused} paused")?;
    }
    write!(out, ", {} stopped", count(&[VmState::Stopped]))?;
    let seconds = now.as_ns() / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(
        out,
        " | CPUs {load} % | up {hours}:{minutes:02}:{:02} | Ctrl-]: ",
        seconds % 60
    )?;
    out.write_str(if focus == Focus::Shell {
        "back"
    } else {
        "shell"
    })
}
