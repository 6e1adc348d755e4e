//! The CPU the loader runs on.

use core::arch::asm;

use raw_cpuid::{CpuId, cpuid};

use crate::console::say;
use crate::stop::Stop;

/// Prints which CPU this is, and whether the machine is virtual.
pub(crate) fn say_what_runs_here() {
    let vendor = CpuId::new().get_vendor_info();
    let vendor = vendor
        .as_ref()
        .map_or("vendor unknown", |vendor| vendor.as_str());
    say!("  CPU: {} ({vendor})", Brand);
    if is_virtual() {
        say!("  this machine is itself a virtual one");
    }
}

/// Checks what the page tables of the hand-off need.
pub(crate) fn check_paging() -> Result<(), Stop> {
    if cpuid!(0x8000_0001).edx & (1 << 20) == 0 {
        return Err(Stop::new(
            "this CPU cannot forbid execution of data pages (CPUID 8000_0001h EDX bit 20, NX, is clear)",
            "firmware setting to change: Execute Disable Bit, NX Mode or No-Execute Memory Protection",
        ));
    }
    if cr4() & (1 << 12) != 0 {
        return Err(Stop::new(
            "the firmware runs with 5-level page tables (CR4.LA57), which this version cannot leave",
            "firmware setting to change: 5-Level Paging, or LA57, to disabled",
        ));
    }
    Ok(())
}

/// Returns whether pages of 1 GiB exist. (Intel SDM vol. 3A 4.1.4; AMD APM vol. 3 E.4.2)
pub(crate) fn has_gib_pages() -> bool {
    cpuid!(0x8000_0001).edx & (1 << 26) != 0
}

/// Returns whether a hypervisor reports its presence: CPUID 1 ECX bit 31, zero on every real CPU.
pub(crate) fn is_virtual() -> bool {
    cpuid!(1).ecx & (1 << 31) != 0
}

/// The brand string, or family, model and stepping where the CPU has none.
pub(crate) struct Brand;

impl core::fmt::Display for Brand {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match CpuId::new().get_processor_brand_string() {
            Some(brand) => f.write_str(brand.as_str().trim()),
            None => write!(f, "CPU with signature {:#010x}", cpuid!(1).eax),
        }
    }
}

fn cr4() -> u64 {
    let value: u64;
    // SAFETY: reading CR4 has no effect, and firmware runs applications at privilege level 0.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
