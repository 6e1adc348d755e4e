//! Where the hypervisor's instructions go: counts by address become a table by function.
//!
//! Symbols would not do: most functions are inlined into a few. So what runs is an image with line tables, built like the users', in
//! which each address tells its innermost function.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};

use super::exits::{KINDS, Kind, PAIR_KINDS, Svm};
use super::phases::{Lock, Phase, Phases};

/// Functions in a table; the rest is summed up.
const ROWS: usize = 40;
/// Instructions by function of every kind of exit, as text. `image` is the hypervisor that ran.
pub(super) fn text(image: &Path, svm: &Svm) -> Result<String> {
    let loader = Loader::new(image).map_err(|error| anyhow!("{}: {error}", image.display()))?;
    let mut names = Names {
        loader,
        known: HashMap::new(),
    };
    let mut text = String::new();
    section(
        &mut text,
        "one vCPU on one CPU",
        &svm.alone,
        &KINDS,
        &mut names,
    )?;
    section(
        &mut text,
        "two vCPUs on two CPUs",
        &svm.together,
        &PAIR_KINDS,
        &mut names,
    )?;
    Ok(text)
}

fn section(
    text: &mut String,
    title: &str,
    phases: &Phases,
    kinds: &[Kind],
    names: &mut Names,
) -> Result<()> {
    writeln!(text, "== {title}")?;
    for kind in kinds {
        if let Some(phase) = phases.get(&kind.phase) {
            table(text, kind, phase, names)?;
        }
    }
    Ok(())
}

fn table(text: &mut String, kind: &Kind, phase: &Phase, names: &mut Names) -> Result<()> {
    let each = |count: u64| count as f64 / kind.rounds as f64;
    writeln!(
        text,
        "\n{}: {:.1} instructions of the hypervisor, {:.2} VM entries, {:.2} locked instructions",
        kind.name,
        each(phase.host()),
        each(phase.entries),
        each(phase.locked(Lock::Taking) + phase.locked(Lock::Other)),
    )?;
    let mut functions: HashMap<String, (u64, u64)> = HashMap::new();
    for place in &phase.places {
        let (count, locked) = functions.entry(names.of(place.address)).or_default();
        *count += place.count;
        if place.lock != Lock::None {
            *locked += place.count;
        }
    }
    let mut rows: Vec<(String, (u64, u64))> = functions.into_iter().collect();
    rows.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    for (name, (count, locked)) in rows.iter().take(ROWS) {
        let locked = if *locked == 0 {
            String::new()
        } else {
            format!("  ({:.2} locked)", each(*locked))
        };
        writeln!(text, "  {:>10.2}  {name}{locked}", each(*count))?;
    }
    let rest: u64 = rows.iter().skip(ROWS).map(|(_, (count, _))| count).sum();
    if rest != 0 {
        writeln!(text, "  {:>10.2}  (others)", each(rest))?;
    }
    Ok(())
}

/// Function names by address.
struct Names {
    loader: Loader,
    known: HashMap<u64, String>,
}

impl Names {
    fn of(&mut self, address: u64) -> String {
        if let Some(name) = self.known.get(&address) {
            return name.clone();
        }
        let name = self.look_up(address);
        self.known.insert(address, name.clone());
        name
    }

    /// The innermost function of ours, as `vmm/src/vcpu.rs step`; failing that, the symbol.
    fn look_up(&self, address: u64) -> String {
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let file = frame.location.and_then(|location| location.file);
                let (Some(file), Some(function)) = (file.and_then(ours), frame.function) else {
                    continue;
                };
                if let Ok(name) = function.demangle() {
                    return format!("{file} {}", last_part(&short(&name)));
                }
            }
        }
        let symbol = self.loader.find_symbol(address);
        symbol.map_or_else(|| format!("{address:#x}"), short)
    }
}

/// A file below `hypervisor/`, from there on; what the core library inlines is part of whoever calls it.
fn ours(file: &str) -> Option<&str> {
    let at = file.rfind("hypervisor/")?;
    file.get(at + "hypervisor/".len()..)
}

/// `step` of `vmm::vcpu::VirtualCpu::step`.
fn last_part(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// A demangled name without what only the compiler wants to know: generic arguments, `<T as Trait>`, hashes.
fn short(name: &str) -> String {
    let name = addr2line::demangle_auto(name.into(), None);
    let mut text = String::new();
    let mut depth = 0u32;
    let mut last = ' ';
    for letter in name.trim_start_matches(['<', '&', '*']).chars() {
        match letter {
            '<' => depth += 1,
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => text.push(letter),
            _ => {}
        }
        last = letter;
    }
    let text = text.replace("::::", "::");
    let text = text.split(" as ").next().unwrap_or(&text).to_owned()
        + text
            .split_once(" as ")
            .and_then(|(_, rest)| rest.rfind("::").map(|at| &rest[at..]))
            .unwrap_or("");
    match text.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            before.to_owned()
        }
        _ => text,
    }
}

/// Acquisitions of locks for each exit, while four vCPUs do the same on four CPUs.
pub(super) fn locks(svm: &Svm) -> Vec<(&'static str, f64, f64)> {
    KINDS
        .iter()
        .chain(&PAIR_KINDS)
        .filter_map(|kind| {
            let phase = svm.together.get(&kind.phase)?;
            let each = |count: u64| count as f64 / phase.entries.max(1) as f64;
            Some((
                kind.name,
                each(phase.locked(Lock::Taking)),
                each(phase.locked(Lock::Other)),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_files_count() {
        assert_eq!(
            ours("/x/caisson/hypervisor/vmm/src/vcpu.rs"),
            Some("vmm/src/vcpu.rs")
        );
        assert_eq!(
            ours("hypervisor/model/sched/src/lib.rs"),
            Some("model/sched/src/lib.rs")
        );
        assert_eq!(
            ours("/usr/lib/rustlib/src/rust/library/core/src/num.rs"),
            None
        );
        assert_eq!(last_part("vmm::vcpu::VirtualCpu::step"), "step");
    }

    #[test]
    fn names_lose_what_only_the_compiler_wants() {
        assert_eq!(
            short("<vmm::vcpu::VirtualCpu<machine::host::Machine<V>>>::step"),
            "vmm::vcpu::VirtualCpu::step"
        );
        assert_eq!(
            short("vmm::bus::PioBus::find::h0123456789abcdef"),
            "vmm::bus::PioBus::find"
        );
        assert_eq!(
            short("<svm::vcpu::SvmVcpu as vcpu::Vcpu>::retire"),
            "svm::vcpu::SvmVcpu::retire"
        );
    }
}
