//! Pages that fill the terminal: `top`, `exits`, and a pager over what a VM has printed.

use crate::Operator;
use crate::render;
use crate::status::busy_percent;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use host::Host;
use terminal::Key;
use time::Instant;
use vmm::KIND_NAMES;
use vmm::Vm;

/// The time after which a table is renewed.
const REFRESH_NS: u64 = 1_000_000_000;
/// Lines of text on a page: a terminal of 24 lines, less one for what the keys do.
const PAGE_LINES: usize = 22;
/// CPUs whose load is shown one by one.
const CPUS_SHOWN: usize = 8;

/// Something that fills the screen.
pub(super) enum OpenPage {
    /// All VMs.
    Top(Rates),
    /// Exits by reason, of one VM or of all.
    Exits(Option<String>, Rates),
    /// Lines to page through.
    Text(Pager),
}

/// The counters of a while ago.
pub(super) struct Rates {
    due: Instant,
    taken: Instant,
    vms: Vec<Counters>,
    /// The time that each CPU has idled.
    idle_ns: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Counters {
    id: usize,
    exits: [u64; KIND_NAMES.len()],
    run_ns: u64,
}

impl Counters {
    fn of<H: Host>(vm: &Vm<H>) -> Self {
        let mut exits = [0u64; KIND_NAMES.len()];
        let mut run_ns = 0u64;
        for stats in vm.stats() {
            for (sum, count) in exits.iter_mut().zip(stats.exits()) {
                *sum += count;
            }
            run_ns += stats.run_ns();
        }
        Self {
            id: vm.id(),
            exits,
            run_ns,
        }
    }

    /// Returns what was counted since `old`.
    fn since(mut self, old: &Self) -> Self {
        for (new, old) in self.exits.iter_mut().zip(old.exits) {
            *new = new.saturating_sub(old);
        }
        self.run_ns = self.run_ns.saturating_sub(old.run_ns);
        self
    }
}

/// VMs with what was counted of them.
type News<H> = Vec<(Arc<Vm<H>>, Counters)>;

impl Rates {
    pub(super) fn new<H: Host>(operator: &Operator<H>) -> Self {
        Self {
            // The first page shows what was so far, the next ones what is new.
            due: Instant::default(),
            taken: Instant::default(),
            vms: operator
                .hypervisor
                .vms()
                .iter()
                .map(|vm| Counters {
                    id: vm.id(),
                    exits: [0; KIND_NAMES.len()],
                    run_ns: 0,
                })
                .collect(),
            idle_ns: Vec::new(),
        }
    }

    /// Takes anew how long each CPU has idled; returns how busy each was since, in percent.
    fn take_loads<H: Host>(&mut self, operator: &Operator<H>, passed_ns: u64) -> Vec<u64> {
        let new: Vec<u64> = operator.hypervisor.idle_ns().collect();
        let olds = self.idle_ns.iter().copied().chain(core::iter::repeat(0));
        let loads = new.iter().zip(olds);
        let loads = loads.map(|(new, old)| busy_percent(new.saturating_sub(old), passed_ns));
        let loads = loads.collect();
        self.idle_ns = new;
        loads
    }

    /// Takes the counters anew; returns each VM with what was counted since, and how many
    /// nanoseconds that was.
    fn take<H: Host>(&mut self, operator: &Operator<H>, now: Instant) -> (News<H>, u64) {
        let passed_ns = now.as_ns().saturating_sub(self.taken.as_ns()).max(1);
        let mut news = Vec::new();
        let mut olds = Vec::new();
        for vm in operator.hypervisor.vms() {
            let new = Counters::of(&vm);
            let old = self.vms.iter().find(|old| old.id == vm.id());
            news.push((vm, old.map_or(new, |old| new.since(old))));
            olds.push(new);
        }
        self.vms = olds;
        self.taken = now;
        self.due = now.after_ns(REFRESH_NS);
        (news, passed_ns)
    }
}

/// Returns how many that is in a second.
fn per_second(count: u64, passed_ns: u64) -> u64 {
    (u128::from(count) * 1_000_000_000 / u128::from(passed_ns)) as u64
}

impl OpenPage {
    /// Returns what is to be written now, if anything: the page, from its first line.
    pub(super) fn refresh<H: Host>(
        &mut self,
        operator: &Operator<H>,
        now: Instant,
    ) -> Option<String> {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Top(rates) if rates.due <= now => top(operator, rates, now, &mut text),
            Self::Exits(name, rates) if rates.due <= now => {
                exits(operator, name.as_deref(), rates, now, &mut text)
            }
            Self::Text(pager) if pager.is_stale => pager.write(&mut text),
            Self::Top(_) | Self::Exits(..) | Self::Text(_) => return None,
        };
        Some(text)
    }

    /// Takes a key; returns whether the page stays.
    pub(super) fn key(&mut self, key: Key) -> bool {
        match self {
            Self::Top(_) | Self::Exits(..) => false,
            Self::Text(pager) => pager.key(key),
        }
    }
}

fn top<H: Host>(
    operator: &Operator<H>,
    rates: &mut Rates,
    now: Instant,
    out: &mut String,
) -> fmt::Result {
    let (news, passed_ns) = rates.take(operator, now);
    let loads = rates.take_loads(operator, passed_ns);
    write!(
        out,
        "up {} s, {} MiB free; CPUs busy:",
        now.as_ns() / 1_000_000_000,
        operator.host.memory().free >> 20
    )?;
    for load in loads.iter().take(CPUS_SHOWN) {
        write!(out, " {load} %")?;
    }
    if let Some(rest) = loads.get(CPUS_SHOWN..)
        && !rest.is_empty()
    {
        write!(out, " and {} more", rest.len())?;
    }
    writeln!(
        out,
        "\n\n{:<16} {:<8} {:>5} {:>9} {:>6} {:>10}",
        "name", "state", "vCPUs", "memory", "CPU %", "exits/s"
    )?;
    for (vm, counters) in &news {
        writeln!(
            out,
            "{:<16} {:<8} {:>5} {:>5} MiB {:>6} {:>10}",
            vm.name(),
            render::state(vm.lifecycle().state().into()),
            vm.spec().cpus,
            vm.spec().memory_bytes >> 20,
            percent(counters.run_ns, passed_ns),
            per_second(counters.exits.iter().sum(), passed_ns)
        )?;
    }
    writeln!(out, "\nany key ends this")
}

fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100 / u128::from(whole.max(1))) as u64
}

fn exits<H: Host>(
    operator: &Operator<H>,
    name: Option<&str>,
    rates: &mut Rates,
    now: Instant,
    out: &mut String,
) -> fmt::Result {
    let (news, passed_ns) = rates.take(operator, now);
    let mut sums = [0u64; KIND_NAMES.len()];
    for (vm, counters) in &news {
        if name.is_none_or(|name| vm.name() == name) {
            for (sum, count) in sums.iter_mut().zip(counters.exits) {
                *sum += count;
            }
        }
    }
    let of = name.unwrap_or("all VMs");
    writeln!(
        out,
        "{:<20} {:>10}",
        alloc::format!("exits of {of}"),
        "per second"
    )?;
    for (kind, count) in KIND_NAMES.iter().zip(sums) {
        if count != 0 {
            writeln!(out, "{kind:<20} {:>10}", per_second(count, passed_ns))?;
        }
    }
    let all = per_second(sums.iter().sum(), passed_ns);
    writeln!(out, "{:<20} {all:>10}\n\nany key ends this", "in all")
}

/// Lines, and which of them are seen.
pub(super) struct Pager {
    title: String,
    text: String,
    /// The start of each line.
    starts: Vec<usize>,
    first: usize,
    is_stale: bool,
}

impl Pager {
    /// Opens a text at its end.
    pub(super) fn new(title: String, text: String) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let mut starts: Vec<usize> = core::iter::once(0).chain(ends).collect();
        if text.is_empty() || text.ends_with('\n') {
            starts.pop();
        }
        let first = starts.len().saturating_sub(PAGE_LINES);
        Self {
            title,
            text,
            starts,
            first,
            is_stale: true,
        }
    }

    fn last_first(&self) -> usize {
        self.starts.len().saturating_sub(PAGE_LINES)
    }

    fn key(&mut self, key: Key) -> bool {
        let first = match key {
            Key::PageUp | Key::Control('b') | Key::Symbol('b') => {
                self.first.saturating_sub(PAGE_LINES)
            }
            Key::PageDown | Key::Control('f') | Key::Symbol(' ') => self.first + PAGE_LINES,
            Key::Up | Key::Symbol('k') => self.first.saturating_sub(1),
            Key::Down | Key::Symbol('j') => self.first + 1,
            Key::Home | Key::Symbol('g') => 0,
            Key::End | Key::Symbol('G') => usize::MAX,
            Key::Symbol(_)
            | Key::Control(_)
            | Key::Enter
            | Key::Tab
            | Key::Escape
            | Key::Backspace
            | Key::Insert
            | Key::Delete
            | Key::Left
            | Key::Right
            | Key::Function(_) => return false,
        };
        self.first = first.min(self.last_first());
        self.is_stale = true;
        true
    }

    fn write(&mut self, out: &mut String) -> fmt::Result {
        self.is_stale = false;
        let lines = self.starts.len();
        let last = (self.first + PAGE_LINES).min(lines);
        for line in self.first..last {
            let start = self.starts.get(line).copied().unwrap_or_default();
            let text = self.text.get(start..).unwrap_or_default();
            writeln!(out, "{}", text.lines().next().unwrap_or_default())?;
        }
        writeln!(
            out,
            "--- {}: lines {} to {last} of {lines}; PgUp, PgDn, arrows, Home, End; q ends ---",
            self.title,
            (self.first + 1).min(lines)
        )
    }
}
