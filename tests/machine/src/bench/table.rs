//! The table.

use std::fmt::Write;

use super::{Numbers, ratio};

/// The most an exit may cost on AMD-V in QEMU, in instructions.
const CEILINGS: [(&str, u64); 6] = [
    ("cpuid", 400),
    ("pio_out", 700),
    ("uart_in", 700),
    ("ioapic_read", 3000),
    ("msr_write", 700),
    ("hlt_wake", 3500),
];
const RATIO_CEILING: f64 = 1.15;
const IMAGE_CEILING: u64 = 3 << 20;
const HYPERVISOR_CEILING: u64 = 16 << 20;

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
        "{:<34}{:>12}{:>12}{:>12}",
        "instructions per exit", "AMD-V", "ceiling", "VT-x"
    )?;
    for ((name, svm), (_, vmx)) in numbers.svm.iter().zip(&numbers.vmx) {
        let ceiling = CEILINGS
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, most)| *most);
        let verdict = over(*svm > ceiling);
        writeln!(out, "  {name:<32}{svm:>12}{ceiling:>12}{vmx:>12}{verdict}")?;
    }
    writeln!(
        out,
        "  hlt_wake on AMD-V is counted from outside, arming the timer included; on VT-x by the guest, from its deadline on"
    )?;
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

fn over(is_over: bool) -> &'static str {
    if is_over { "  OVER" } else { "" }
}
