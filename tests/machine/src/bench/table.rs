//! The table.

use std::fmt::Write;

use super::exits::{Exits, Svm};
use super::linux::Counts;
use super::sizes::Sizes;
use super::{Numbers, profile, ratio};

/// The most an exit may cost on AMD-V in QEMU, in instructions, and what KVM of Linux 6.1 takes there.
const CEILINGS: [(&str, f64, Option<u64>); 12] = [
    ("cpuid", 280.0, Some(2867)),
    ("pio_out", 352.0, Some(4969)),
    ("uart_in", 551.0, None),
    ("ioapic_read", 1828.0, None),
    ("msr_write", 318.0, Some(3376)),
    ("hlt_wake", 2731.0, None),
    ("self_ipi", 832.0, Some(3850)),
    ("tsc_deadline", 1303.0, Some(8131)),
    ("rep_outs_per_byte", 1.80, None),
    ("rep_ins_per_byte", 2.05, None),
    ("ipi_round_trip", 3100.0, None),
    ("hlt_wake_ipi", 2880.0, Some(12_059)),
];
/// CPUID with eight busy vCPUs costs at most this much more than with one.
const SCALING_CEILING: f64 = 1.05;
/// Exits that may take no lock at all.
const HOT: [&str; 8] = [
    "cpuid",
    "pio_out",
    "msr_write",
    "self_ipi",
    "tsc_deadline",
    "hlt_wake",
    "ipi_round_trip",
    "hlt_wake_ipi",
];
/// What the boot CPU's chores, which run meanwhile, may add to the average.
const CHORES: f64 = 0.05;
const RATIO_CEILING: f64 = 1.015;
const IMAGE_CEILING: u64 = 3 << 20;
const HYPERVISOR_CEILING: u64 = 16 << 20;

/// What was counted, where it is not plain.
const NOTES: &str = "\
  AMD-V: the first five as the guest's TSC has them, hlt_wake with arming the timer and all the guest does, the rest the
  hypervisor's instructions. A self_ipi is sent, taken and ended (two exits), a tsc_deadline set, fired and ended by a busy guest.
  ipi_round_trip and hlt_wake_ipi: two vCPUs on two CPUs, instructions of both CPUs added; hlt_wake_ipi is each sleeper's part:
  the other's interrupt, waking, ending it, and HLT again. VT-x: all as the guest's TSC has it, its handlers left out where
  they are known; with two CPUs it tells the time that passes, so what they do at once counts once. Strings: 4 KiB from and to
  fw_cfg's data port. hlt_wake_of_eight: seven more vCPUs sleep on that CPU. KVM: Linux 6.1 in the same machine.
";

/// All numbers as text, and what is over its ceiling.
pub(super) struct Table {
    /// The text.
    pub(super) text: String,
    /// The names of what is over.
    pub(super) over: Vec<String>,
}

impl Table {
    /// Everything.
    pub(super) fn of(numbers: &Numbers) -> Self {
        let mut table = Self::new();
        // Writing to a string cannot fail.
        let _ = table.fill(numbers);
        table
    }

    /// Sizes alone.
    pub(super) fn of_sizes(sizes: &Sizes) -> Self {
        let mut table = Self::new();
        let _ = table.sizes(sizes);
        table
    }

    fn new() -> Self {
        Self {
            text: String::new(),
            over: Vec::new(),
        }
    }

    /// What stands behind a number.
    fn verdict(&mut self, name: &str, is_over: bool) -> &'static str {
        if !is_over {
            return "";
        }
        self.over.push(name.to_owned());
        "  OVER"
    }

    fn fill(&mut self, numbers: &Numbers) -> std::fmt::Result {
        self.exits(numbers)?;
        if let Some(svm) = &numbers.svm {
            self.scaling(&svm.scaling)?;
            self.locks(svm)?;
        }
        if let Some((bare, inside)) = &numbers.linux {
            self.linux(bare, inside)?;
        }
        if let Some(sizes) = &numbers.sizes {
            self.sizes(sizes)?;
        }
        for missing in &numbers.missing {
            writeln!(self.text, "not measured: {missing}")?;
            self.over.push(missing.clone());
        }
        Ok(())
    }

    fn exits(&mut self, numbers: &Numbers) -> std::fmt::Result {
        writeln!(
            self.text,
            "{:<34}{:>12}{:>12}{:>12}{:>12}",
            "instructions per exit", "AMD-V", "ceiling", "KVM", "VT-x"
        )?;
        let none = Vec::new();
        let svm = numbers.svm.as_ref().map_or(&none, |svm| &svm.exits);
        let vmx = numbers.vmx.as_ref().unwrap_or(&none);
        let measured = if svm.is_empty() { vmx } else { svm };
        for (name, _) in measured {
            let find = |exits: &Exits| {
                let found = exits.iter().find(|(known, _)| known == name);
                found.map(|(_, instructions)| *instructions)
            };
            let (svm, vmx) = (find(svm), find(vmx));
            let known = CEILINGS.iter().find(|(known, ..)| known == name);
            let ceiling = known.map(|(_, most, _)| *most);
            let kvm = known.and_then(|(.., kvm)| *kvm);
            let is_over = svm.zip(ceiling).is_some_and(|(svm, most)| svm > most);
            let verdict = self.verdict(name, is_over);
            writeln!(
                self.text,
                "  {name:<32}{:>12}{:>12}{:>12}{:>12}{verdict}",
                figure(svm),
                figure(ceiling),
                figure(kvm.map(|kvm| kvm as f64)),
                figure(vmx),
            )?;
        }
        self.text.write_str(NOTES)
    }

    fn scaling(&mut self, costs: &[(u64, f64)]) -> std::fmt::Result {
        writeln!(
            self.text,
            "a CPUID exit with so many busy vCPUs on one CPU, AMD-V"
        )?;
        let ceiling = costs
            .first()
            .map_or(0.0, |(_, alone)| alone * SCALING_CEILING);
        for (busy, cost) in costs {
            let verdict = self.verdict(&format!("cpuid with {busy} busy vCPUs"), *cost > ceiling);
            writeln!(
                self.text,
                "  {busy:<32}{cost:>12.1}{ceiling:>12.1}{verdict}"
            )?;
        }
        Ok(())
    }

    fn locks(&mut self, svm: &Svm) -> std::fmt::Result {
        writeln!(
            self.text,
            "{:<34}{:>12}{:>12}{:>12}",
            "four CPUs, per VM entry, AMD-V", "locks taken", "ceiling", "atomics"
        )?;
        for (name, taken, other) in profile::locks(svm) {
            let is_hot = HOT.contains(&name);
            let ceiling = if is_hot { "0" } else { "" };
            let verdict = self.verdict(&format!("locks of {name}"), is_hot && taken > CHORES);
            writeln!(
                self.text,
                "  {name:<32}{taken:>12.2}{ceiling:>12}{other:>12.2}{verdict}"
            )?;
        }
        Ok(())
    }

    fn linux(&mut self, bare: &Counts, inside: &Counts) -> std::fmt::Result {
        let ratio = ratio(bare, inside);
        let out = &mut self.text;
        writeln!(out, "Linux to its marker, instructions")?;
        writeln!(out, "  {:<32}{:>12}", "without Caisson", bare.total)?;
        writeln!(out, "  {:<32}{:>12}", "with Caisson", inside.total)?;
        writeln!(
            out,
            "  {:<32}{:>12}",
            "  of these the guest's", inside.guest
        )?;
        writeln!(out, "  {:<32}{:>12}", "  VM entries", inside.entries)?;
        let verdict = self.verdict("Linux's boot, ratio", ratio > RATIO_CEILING);
        writeln!(
            self.text,
            "  {:<32}{ratio:>12.4}{RATIO_CEILING:>12}{verdict}",
            "ratio"
        )
    }

    fn sizes(&mut self, sizes: &Sizes) -> std::fmt::Result {
        writeln!(self.text, "sizes")?;
        let bounded = [
            ("image, bytes", sizes.image_bytes(), IMAGE_CEILING),
            (
                "hypervisor memory, bytes",
                sizes.hypervisor_bytes,
                HYPERVISOR_CEILING,
            ),
        ];
        for (name, bytes, ceiling) in bounded {
            let verdict = self.verdict(name, bytes > ceiling);
            writeln!(self.text, "  {name:<32}{bytes:>12}{ceiling:>12}{verdict}")?;
        }
        writeln!(
            self.text,
            "  {:<32}{:>12}",
            "lines with unsafe", sizes.unsafe_lines
        )
    }
}

fn figure(number: Option<f64>) -> String {
    match number {
        None => "-".to_owned(),
        Some(number) if number < 100.0 => format!("{number:.2}"),
        Some(number) => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(hypervisor_bytes: u64) -> Sizes {
        Sizes {
            hypervisor_file_bytes: 1 << 20,
            loader_file_bytes: 1 << 20,
            hypervisor_bytes,
            unsafe_lines: 1,
        }
    }

    #[test]
    fn what_is_over_its_ceiling_is_marked_and_named() {
        let table = Table::of_sizes(&sizes(HYPERVISOR_CEILING + 1));
        assert_eq!(table.over, ["hypervisor memory, bytes"]);
        assert!(table.text.contains("16777217    16777216  OVER\n"));
    }

    #[test]
    fn what_reaches_its_ceiling_is_not_over() {
        let table = Table::of_sizes(&sizes(HYPERVISOR_CEILING));
        assert!(table.over.is_empty());
        assert!(!table.text.contains("OVER"));
    }

    #[test]
    fn a_bed_that_fails_costs_its_own_figures() {
        let numbers = Numbers {
            svm: None,
            vmx: Some(vec![("cpuid", 296.0)]),
            linux: None,
            sizes: Some(sizes(1)),
            missing: vec!["exits on AMD-V: no QEMU".to_owned()],
        };
        let table = Table::of(&numbers);
        let row = table
            .text
            .lines()
            .find(|line| line.contains("cpuid"))
            .expect("a row");
        assert!(row.contains("296") && row.contains(" - "), "{row}");
        assert!(table.text.contains("hypervisor memory, bytes"));
        assert!(table.text.contains("not measured: exits on AMD-V: no QEMU"));
        assert_eq!(table.over, ["exits on AMD-V: no QEMU"]);
    }

    #[test]
    fn a_vcpu_that_costs_more_among_others_is_over() {
        let mut table = Table::new();
        table
            .scaling(&[(1, 300.0), (2, 314.0), (8, 316.0)])
            .expect("a string takes everything");
        assert_eq!(table.over, ["cpuid with 8 busy vCPUs"]);
    }
}
