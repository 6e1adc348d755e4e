//! What it costs: instructions per exit, the boot of Linux, sizes. One table, and `target/bench.json`.

mod exits;
mod linux;
mod plugin;
mod sizes;
mod table;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use xtask::ui::say;

use crate::beds;
use crate::parts::Parts;
use exits::Exits;
use linux::Counts;
use sizes::Sizes;

/// Linux to its marker without Caisson, and with it.
type Boots = (Counts, Counts);

/// Everything measured.
struct Numbers {
    svm: Exits,
    vmx: Exits,
    linux: Option<Boots>,
    sizes: Sizes,
}

/// Measures, prints the table, writes the file. A quick run leaves the boot of Linux out, and writes no file.
///
/// # Errors
/// Something does not build or boot, or a guest does not say what it measured.
pub fn run(is_quick: bool) -> Result<()> {
    let parts = Parts::find()?;
    // Bochs and QEMU keep one CPU each busy.
    let (vmx, rest) = std::thread::scope(|scope| {
        let vmx = scope.spawn(|| exits::in_bochs(&parts, beds::SKYLAKE));
        let rest = measure_in_qemu(&parts, is_quick);
        (vmx.join(), rest)
    });
    let (svm, linux, sizes) = rest?;
    let numbers = Numbers {
        svm,
        vmx: vmx.ok().context("the measuring thread")??,
        linux,
        sizes,
    };
    print!("{}", table::text(&numbers));
    if numbers.linux.is_some() {
        let path = xtask::paths::target("bench.json")?;
        std::fs::write(&path, format!("{:#}\n", numbers.json()))?;
        say(format!("written: {}", xtask::paths::shown(&path)));
    }
    Ok(())
}

fn measure_in_qemu(parts: &Parts, is_quick: bool) -> Result<(Exits, Option<Boots>, Sizes)> {
    let svm = exits::in_qemu(parts)?;
    let linux = if is_quick {
        None
    } else {
        Some(linux::both(parts)?)
    };
    Ok((svm, linux, Sizes::measure(parts)?))
}

impl Numbers {
    fn json(&self) -> Value {
        json!({
            "exits": object(&self.svm),
            "exits_vmx": object(&self.vmx),
            "linux_boot_ratio": self.linux.as_ref().map(|(bare, inside)| ratio(bare, inside)),
            "image_bytes": self.sizes.image_bytes(),
            "hypervisor_bytes": self.sizes.hypervisor_bytes,
            "unsafe_lines": self.sizes.unsafe_lines,
        })
    }
}

fn object(exits: &Exits) -> Value {
    let map: Map<String, Value> = exits
        .iter()
        .map(|(name, instructions)| (name.clone(), json!(instructions)))
        .collect();
    Value::Object(map)
}

/// Instructions with Caisson for each without, to four digits.
fn ratio(bare: &Counts, inside: &Counts) -> f64 {
    (inside.total as f64 / bare.total as f64 * 10_000.0).round() / 10_000.0
}
