//! The table.

use std::fmt::Write;

use super::{Numbers, profile, ratio};

/// The most an exit may cost on AMD-V in QEMU, in instructions, and what KVM of Linux 6.1 takes there.
const CEILINGS: [(&str, f64, Option<u64>); 12] = [
    ("cpuid", 400.0, Some(2867)),
    ("pio_out", 700.0, Some(4969)),
    ("uart_in", 700.0, None),
    ("ioapic_read", 3000.0, None),
    ("msr_write", 700.0, Some(3376)),
    ("hlt_wake", 3500.0, None),
    ("self_ipi", 900.0, Some(3850)),
    ("tsc_deadline", 2000.0, Some(8131)),
    ("rep_outs_per_byte", 6.0, None),
    ("rep_ins_per_byte", 6.0, None),
    ("ipi_round_trip", 4000.0, None),
    ("hlt_wake_ipi", 3000.0, Some(12_059)),
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
const RATIO_CEILING: f64 = 1.15;
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

/// Hot exits that took a lock.
pub(super) fn locking(numbers: &Numbers) -> Vec<&'static str> {
    profile::locks(&numbers.svm)
        .into_iter()
        .filter(|(name, taken, _)| HOT.contains(name) && *taken > CHORES)
        .map(|(name, ..)| name)
        .collect()
}

/// All numbers as text.
pub(super) fn text(numbers: &Numbers) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = fill(&mut text, numbers);
    text
}

fn fill(out: &mut String, numbers: &Numbers) -> std::fmt::Result {
    writeln!(
        out,
        "{:<34}{:>12}{:>12}{:>12}{:>12}",
        "instructions per exit", "AMD-V", "ceiling", "KVM", "VT-x"
    )?;
    for (name, svm) in &numbers.svm.exits {
        let known = CEILINGS.iter().find(|(known, ..)| known == name);
        let ceiling = known.map(|(_, most, _)| *most);
        let kvm = known.and_then(|(.., kvm)| *kvm);
        let vmx = numbers.vmx.iter().find(|(known, _)| known == name);
        let verdict = over(ceiling.is_some_and(|most| *svm > most));
        writeln!(
            out,
            "  {name:<32}{:>12}{:>12}{:>12}{:>12}{verdict}",
            figure(Some(*svm)),
            figure(ceiling),
            figure(kvm.map(|kvm| kvm as f64)),
            figure(vmx.map(|(_, vmx)| *vmx)),
        )?;
    }
    out.write_str(NOTES)?;
    writeln!(
        out,
        "a CPUID exit with so many busy vCPUs on one CPU, AMD-V"
    )?;
    let alone = numbers.svm.scaling.first().map_or(0.0, |(_, cost)| *cost);
    for (busy, cost) in &numbers.svm.scaling {
        let verdict = over(*cost > alone * SCALING_CEILING);
        writeln!(
            out,
            "  {busy:<32}{cost:>12.1}{:>12.1}{verdict}",
            alone * SCALING_CEILING
        )?;
    }
    writeln!(
        out,
        "{:<34}{:>12}{:>12}{:>12}",
        "four CPUs, per VM entry, AMD-V", "locks taken", "ceiling", "atomics"
    )?;
    for (name, taken, other) in profile::locks(&numbers.svm) {
        let is_hot = HOT.contains(&name);
        let ceiling = if is_hot { "0" } else { "" };
        let verdict = over(is_hot && taken > CHORES);
        writeln!(
            out,
            "  {name:<32}{taken:>12.2}{ceiling:>12}{other:>12.2}{verdict}"
        )?;
    }
    if let Some((bare, inside)) = &numbers.linux {
        let ratio = ratio(bare, inside);
        writeln!(out, "Linux to its marker, instructions")?;
        writeln!(out, "  {:<32}{:>12}", "without Caisson", bare.total)?;
        writeln!(out, "  {:<32}{:>12}", "with Caisson", inside.total)?;
        writeln!(
            out,
            "  {:<32}{:>12}",
            "  of these the guest's", inside.guest
        )?;
        writeln!(out, "  {:<32}{:>12}", "  VM entries", inside.entries)?;
        let verdict = over(ratio > RATIO_CEILING);
        writeln!(
            out,
            "  {:<32}{ratio:>12.4}{RATIO_CEILING:>12}{verdict}",
            "ratio"
        )?;
    }
    let sizes = &numbers.sizes;
    writeln!(out, "sizes")?;
    let mut bytes = |name: &str, bytes: u64, ceiling: u64| {
        let verdict = over(bytes > ceiling);
        writeln!(out, "  {name:<32}{bytes:>12}{ceiling:>12}{verdict}")
    };
    bytes("image, bytes", sizes.image_bytes(), IMAGE_CEILING)?;
    bytes(
        "hypervisor memory, bytes",
        sizes.hypervisor_bytes,
        HYPERVISOR_CEILING,
    )?;
    writeln!(
        out,
        "  {:<32}{:>12}",
        "lines with unsafe", sizes.unsafe_lines
    )
}

fn figure(number: Option<f64>) -> String {
    match number {
        None => "-".to_owned(),
        Some(number) if number < 100.0 => format!("{number:.2}"),
        Some(number) => format!("{number:.0}"),
    }
}

fn over(is_over: bool) -> &'static str {
    if is_over { "  OVER" } else { "" }
}
