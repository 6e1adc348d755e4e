//! What a stock kernel must not say.

use anyhow::{Result, bail};

use crate::beds::{self, Bed};

/// Complaints about the machine it runs on.
const COMPLAINTS: [&str; 12] = [
    "ACPI Error",
    "ACPI BIOS Error",
    "unchecked MSR access",
    "WARNING:",
    "BUG:",
    "Call Trace",
    "Kernel panic",
    "Marking TSC unstable",
    "Marking clocksource",
    // Every RCU stall begins so, of any flavour.
    "rcu: INFO:",
    "blocked for more than",
    "soft lockup",
];

/// What a kernel says of the Skylake model, with or without a hypervisor: it has no IBRS.
const OF_THE_CPU: &str = "RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable";

/// Looks for complaints in a kernel's log.
///
/// # Errors
/// The lines with complaints.
pub fn check(bed: Bed, log: &str) -> Result<()> {
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| bed != beds::SKYLAKE || !line.contains(OF_THE_CPU))
        .filter(|line| {
            COMPLAINTS.iter().any(|complaint| line.contains(complaint)) || is_unstable_clock(line)
        })
        .collect();
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("the kernel complains:\n{}", complaints.join("\n"))
}

fn is_unstable_clock(line: &str) -> bool {
    line.contains("clocksource") && line.contains("unstable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_log_passes() {
        assert!(
            check(
                beds::QEMU,
                "[ 0.1] clocksource: kvm-clock: mask: 0xff\n[ 0.2] ACPI: PM: ok"
            )
            .is_ok()
        );
    }

    #[test]
    fn complaints_are_quoted() {
        let log = "fine\n[    0.6] clocksource: timekeeping watchdog: Marking clocksource 'tsc' as unstable\nfine";
        let error = check(beds::SKYLAKE, log).unwrap_err().to_string();
        assert!(error.contains("as unstable") && !error.contains("fine"));
    }
}
