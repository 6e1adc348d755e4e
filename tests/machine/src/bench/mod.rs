//! What it costs: instructions per exit, the boot of Linux, sizes. One table, and `target/bench.json`:
//!
//! | key | what |
//! |---|---|
//! | `exits` | AMD-V: instructions of the hypervisor for each kind of exit; `*_per_byte` for each byte of a string. In it again: `scaling` |
//! | `exits_vmx` | the same on VT-x |
//! | `scaling` | AMD-V: a CPUID exit with 1, 2, 4 and 8 busy vCPUs. It also stands in `exits`, for readers that look for all costs of exits there |
//! | `linux_boot_ratio` | instructions of a boot of Linux inside, for each one without Caisson |
//! | `image_bytes`, `hypervisor_bytes`, `unsafe_lines` | sizes |

mod exits;
mod linux;
mod phases;
mod plugin;
mod profile;
mod sizes;
mod table;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Map, Value, json};
use xtask::ui::say;

use crate::beds;
use crate::parts::Parts;
use exits::{Exits, Svm};
use linux::Counts;
use sizes::Sizes;
use table::Table;

/// Linux to its marker without Caisson, and with it.
type Boots = (Counts, Counts);

/// Everything measured.
struct Numbers {
    svm: Option<Svm>,
    vmx: Option<Exits>,
    linux: Option<Boots>,
    sizes: Option<Sizes>,
    /// What could not be measured, and why.
    missing: Vec<String>,
}

/// Measures, prints the table, writes the file. A quick run leaves the boot of Linux out, and writes no file.
///
/// A bed that fails costs its own figures: the others are measured, printed and written.
///
/// # Errors
/// Something does not build, a bed fails, a guest does not say what it measured, or a number is over its ceiling.
pub fn run(is_quick: bool) -> Result<()> {
    let parts = Parts::find()?;
    let lines = with_lines(&parts)?;
    // Bochs and QEMU keep one CPU each busy.
    let (vmx, rest) = std::thread::scope(|scope| {
        let vmx = scope.spawn(|| exits::in_bochs(&parts, beds::SKYLAKE, beds::HASWELL_SMP));
        let rest = measure_in_qemu(&parts, &lines, is_quick);
        (vmx.join(), rest)
    });
    let mut numbers = rest;
    let vmx = vmx
        .map_err(|_| anyhow!("the measuring thread panicked"))
        .flatten();
    numbers.vmx = note(&mut numbers.missing, "exits on VT-x", vmx);
    if let Some(svm) = &numbers.svm {
        write_profile(&lines, svm)?;
    }
    let table = Table::of(&numbers);
    print!("{}", table.text);
    if !is_quick {
        let path = xtask::paths::target("bench.json")?;
        std::fs::write(&path, format!("{:#}\n", numbers.json()))?;
        say(format!("written: {}", xtask::paths::shown(&path)));
    }
    judge(&table)
}

/// Measures sizes alone.
///
/// # Errors
/// As [`run`].
pub fn sizes() -> Result<()> {
    let table = Table::of_sizes(&Sizes::measure(&Parts::find()?)?);
    print!("{}", table.text);
    judge(&table)
}

fn judge(table: &Table) -> Result<()> {
    ensure!(
        table.over.is_empty(),
        "over the ceiling, or not measured: {}",
        table.over.join(", ")
    );
    Ok(())
}

/// Measures exits on AMD-V and prints where their instructions go.
///
/// # Errors
/// As [`run`].
pub fn profile() -> Result<()> {
    let parts = Parts::find()?;
    let parts = with_lines(&parts)?;
    let svm = exits::in_qemu(&parts)?;
    print!("{}", write_profile(&parts, &svm)?);
    for (name, instructions) in &svm.exits {
        println!("{name:<34}{instructions:>12.2}");
    }
    Ok(())
}

/// The same with a hypervisor whose instructions can be told apart.
fn with_lines(parts: &Parts) -> Result<Parts> {
    Ok(Parts {
        hypervisor: xtask::build::caisson_with_lines()?,
        ..parts.clone()
    })
}

/// Writes where the instructions go to a file, and returns it.
fn write_profile(parts: &Parts, svm: &Svm) -> Result<String> {
    let text = profile::text(&parts.hypervisor, svm)?;
    let path = xtask::paths::target("bench/profile.txt")?;
    std::fs::write(&path, &text)?;
    say(format!(
        "where the instructions go: {}",
        xtask::paths::shown(&path)
    ));
    Ok(text)
}

fn measure_in_qemu(parts: &Parts, lines: &Parts, is_quick: bool) -> Numbers {
    let mut missing = Vec::new();
    let svm = note(&mut missing, "exits on AMD-V", exits::in_qemu(lines));
    let linux = if is_quick {
        None
    } else {
        note(&mut missing, "the boot of Linux", linux::both(parts))
    };
    let sizes = note(&mut missing, "sizes", Sizes::measure(parts));
    Numbers {
        svm,
        vmx: None,
        linux,
        sizes,
        missing,
    }
}

/// Returns what was measured, or notes why it was not.
fn note<T>(missing: &mut Vec<String>, what: &str, measured: Result<T>) -> Option<T> {
    measured
        .map_err(|error| missing.push(format!("{what}: {error:#}")))
        .ok()
}

impl Numbers {
    fn json(&self) -> Value {
        json!({
            "exits": self.svm.as_ref().map(costs),
            "exits_vmx": self.vmx.as_ref().map(object),
            "scaling": self.svm.as_ref().map(|svm| scaling(&svm.scaling)),
            "linux_boot_ratio": self.linux.as_ref().map(|(bare, inside)| ratio(bare, inside)),
            "image_bytes": self.sizes.as_ref().map(Sizes::image_bytes),
            "hypervisor_bytes": self.sizes.as_ref().map(|sizes| sizes.hypervisor_bytes),
            "unsafe_lines": self.sizes.as_ref().map(|sizes| sizes.unsafe_lines),
        })
    }
}

/// All that exits cost on AMD-V, with many busy vCPUs too.
fn costs(svm: &Svm) -> Map<String, Value> {
    let mut costs = object(&svm.exits);
    costs.insert("scaling".to_owned(), scaling(&svm.scaling));
    costs
}

fn object(exits: &Exits) -> Map<String, Value> {
    exits
        .iter()
        .map(|(name, instructions)| ((*name).to_owned(), number(*instructions)))
        .collect()
}

fn scaling(costs: &[(u64, f64)]) -> Value {
    let map: Map<String, Value> = costs
        .iter()
        .map(|(busy, instructions)| (busy.to_string(), number(*instructions)))
        .collect();
    Value::Object(map)
}

/// Instructions: whole, or to two digits where they are few.
fn number(instructions: f64) -> Value {
    if instructions < 100.0 {
        json!((instructions * 100.0).round() / 100.0)
    } else {
        json!(instructions.round() as u64)
    }
}

/// Instructions with Caisson for each without, to four digits.
fn ratio(bare: &Counts, inside: &Counts) -> f64 {
    (inside.total as f64 / bare.total as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use phases::Phases;

    #[test]
    fn costs_of_exits_come_with_those_of_many_vcpus() {
        let svm = Svm {
            exits: vec![("cpuid", 300.4), ("rep_outs_per_byte", 1.504)],
            scaling: vec![(1, 300.4), (8, 301.6)],
            alone: Phases::new(),
            together: Phases::new(),
        };
        let wanted = json!({
            "cpuid": 300,
            "rep_outs_per_byte": 1.5,
            "scaling": { "1": 300, "8": 302 },
        });
        assert_eq!(Value::Object(costs(&svm)), wanted);
    }
}
