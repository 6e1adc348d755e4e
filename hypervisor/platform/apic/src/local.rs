//! Switching a local APIC on.

use addr::Hpa;
use cpu::msr::{self, IA32_APIC_BASE};
use host::NoMemory;

use crate::registers::{Register, page, read, set_page, write};
use crate::vectors;

const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const SPURIOUS_ENABLE: u32 = 1 << 8;
pub(crate) const LVT_MASKED: u32 = 1 << 16;
const LVT_NMI: u32 = 4 << 8;

/// Access mode of the local APIC's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In memory; 8-bit identifiers.
    XApic,
    /// By MSR; 32-bit identifiers.
    X2Apic,
}

/// The mode in use.
pub fn mode() -> Mode {
    if page().is_null() {
        Mode::X2Apic
    } else {
        Mode::XApic
    }
}

/// Chooses the mode for all CPUs; on the boot CPU, before [`enable`].
///
/// # Errors
/// [`NoMemory`] when the register page cannot be mapped.
pub fn choose_mode() -> Result<Mode, NoMemory> {
    let has_x2apic = cpu::cpuid(1).ecx >> 21 & 1 != 0;
    if has_x2apic {
        return Ok(Mode::X2Apic);
    }
    let base = Hpa::new(msr::read_msr(IA32_APIC_BASE) & BASE_ADDRESS);
    // SAFETY: the CPU itself says that its APIC registers are there.
    let mapped = unsafe { memory::map_mmio(base, memory::PAGE_BYTES, memory::Caching::Uncached)? };
    set_page(mapped.as_ptr().cast());
    Ok(Mode::XApic)
}

/// Switches the local APIC of this CPU on, in the chosen mode, everything masked but NMI and our own error vector.
pub fn enable() {
    let base = msr::read_msr(IA32_APIC_BASE);
    match mode() {
        // SAFETY: the address stays; x2APIC was not on, as CPUID does not have it.
        Mode::XApic => unsafe { msr::write_msr(IA32_APIC_BASE, base | BASE_ENABLE) },
        Mode::X2Apic => {
            // SAFETY: the address stays. In two steps: the way from disabled to x2APIC leads through xAPIC.
            unsafe { msr::write_msr(IA32_APIC_BASE, base | BASE_ENABLE) };
            // SAFETY: CPUID has x2APIC.
            unsafe { msr::write_msr(IA32_APIC_BASE, base | BASE_ENABLE | BASE_X2APIC) };
        }
    }
    let last_lvt = read(Register::Version) >> 16 & 0xff;
    write(
        Register::Spurious,
        SPURIOUS_ENABLE | u32::from(vectors::SPURIOUS),
    );
    write(Register::TaskPriority, 0);
    if mode() == Mode::XApic {
        // Nobody uses logical destinations; what firmware left must not match a device's message.
        write(Register::LogicalDestination, 0);
    }
    write(Register::LvtTimer, LVT_MASKED | u32::from(vectors::ALARM));
    write(
        Register::LvtLint0,
        LVT_MASKED | u32::from(vectors::SPURIOUS),
    );
    write(Register::LvtLint1, LVT_NMI);
    write(Register::LvtError, u32::from(vectors::ERROR));
    for (number, register) in [
        (4, Register::LvtPerformance),
        (5, Register::LvtThermal),
        (6, Register::LvtCmci),
    ] {
        if last_lvt >= number {
            write(register, LVT_MASKED | u32::from(vectors::SPURIOUS));
        }
    }
    write(Register::ErrorStatus, 0);
    // Firmware may have left one interrupt in service per priority class: end them all.
    for _ in 0..16 {
        end_of_interrupt();
    }
}

/// Identifier of this CPU's local APIC.
pub fn id() -> u32 {
    let raw = read(Register::Id);
    match mode() {
        Mode::XApic => raw >> 24,
        Mode::X2Apic => raw,
    }
}

/// Ends the interrupt of the highest priority in service.
#[inline]
pub fn end_of_interrupt() {
    write(Register::Eoi, 0);
}
