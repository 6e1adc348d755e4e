//! KVM's paravirtual clock: two MSRs through which a guest learns the time without asking a device.
//!
//! Layout and meaning as in the kernel documentation "KVM-specific MSRs" (`MSR_KVM_SYSTEM_TIME_NEW`, `MSR_KVM_WALL_CLOCK_NEW`).
//! The TSC is invariant, so one record per vCPU holds until the guest moves its TSC; then it is written anew.

use addr::Gpa;
use guest_memory::{GuestMemory, Unbacked};
use time::Clock;

/// The flag that says the TSC is the same on all vCPUs.
const TSC_STABLE: u8 = 1;

/// Returns shift and multiplier for a TSC difference: `ns = (ticks << shift) * multiplier >> 32`.
fn scale(khz: u64) -> (i8, u32) {
    // Bring ns per tick into [0.5, 1) so that the multiplier uses all of its 32 bits.
    let mut shift = 0i8;
    let mut numerator = 1_000_000u128 << 32;
    let divisor = u128::from(khz.max(1));
    while numerator / divisor >= 1 << 32 && shift < 31 {
        numerator >>= 1;
        shift += 1;
    }
    while numerator / divisor < 1 << 31 && shift > -31 {
        numerator <<= 1;
        shift -= 1;
    }
    (shift, (numerator / divisor) as u32)
}

/// Writes the time record of one vCPU at `at`: guest TSC `tsc` is `system_ns` after the VM's start.
///
/// `version` is that of the record before; it grows by two.
pub(crate) fn write_system_time(
    memory: &impl GuestMemory,
    at: Gpa,
    version: &mut u32,
    clock: &Clock,
    tsc: u64,
    system_ns: u64,
) -> Result<(), Unbacked> {
    let (shift, multiplier) = scale(clock.khz());
    // An odd version means "being written": the guest reads again. So it does when the version is another one afterwards.
    let begun = *version | 1;
    *version = begun.wrapping_add(1);
    memory.write(at, &begun.to_le_bytes())?;
    let mut record = [0u8; 32];
    record[0..4].copy_from_slice(&begun.to_le_bytes());
    record[8..16].copy_from_slice(&tsc.to_le_bytes());
    record[16..24].copy_from_slice(&system_ns.to_le_bytes());
    record[24..28].copy_from_slice(&multiplier.to_le_bytes());
    record[28] = shift as u8;
    record[29] = TSC_STABLE;
    memory.write(at, &record)?;
    memory.write(at, &version.to_le_bytes())
}

/// Writes the wall clock at the VM's start, in ns since 1970, at `at`.
pub(crate) fn write_wall_clock(
    memory: &impl GuestMemory,
    at: Gpa,
    ns: u64,
) -> Result<(), Unbacked> {
    let mut record = [0u8; 12];
    record[0..4].copy_from_slice(&2u32.to_le_bytes());
    record[4..8].copy_from_slice(&((ns / 1_000_000_000) as u32).to_le_bytes());
    record[8..12].copy_from_slice(&((ns % 1_000_000_000) as u32).to_le_bytes());
    memory.write(at, &record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_gives_nanoseconds() {
        for khz in [1_000, 999_999, 1_000_000, 2_100_000, 5_000_000] {
            let (shift, multiplier) = scale(khz);
            let ticks = u128::from(khz) * 1_000;
            let shifted = if shift >= 0 {
                ticks << shift
            } else {
                ticks >> -shift
            };
            let ns = (shifted * u128::from(multiplier)) >> 32;
            assert!(ns.abs_diff(1_000_000_000) < 1_000, "{khz} kHz: {ns} ns");
        }
    }
}
