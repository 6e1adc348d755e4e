//! Register access in either mode.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use cpu::msr::{X2APIC_BASE, read_msr, write_msr};

/// A register that exists in both modes; the value is its x2APIC MSR number less 0x800.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Register {
    Id = 0x02,
    Version = 0x03,
    TaskPriority = 0x08,
    Eoi = 0x0b,
    LogicalDestination = 0x0d,
    Spurious = 0x0f,
    ErrorStatus = 0x28,
    LvtCmci = 0x2f,
    IcrLow = 0x30,
    IcrHigh = 0x31,
    LvtTimer = 0x32,
    LvtThermal = 0x33,
    LvtPerformance = 0x34,
    LvtLint0 = 0x35,
    LvtLint1 = 0x36,
    LvtError = 0x37,
    InitialCount = 0x38,
    CurrentCount = 0x39,
    DivideConfiguration = 0x3e,
}

/// Where the xAPIC page is mapped; null in x2APIC mode.
static PAGE: AtomicPtr<u32> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn set_page(page: *mut u32) {
    PAGE.store(page, Ordering::Release);
}

/// The xAPIC page, or null.
#[inline]
pub(crate) fn page() -> *mut u32 {
    PAGE.load(Ordering::Relaxed)
}

#[inline]
pub(crate) fn read(register: Register) -> u32 {
    let page = page();
    if page.is_null() {
        return read_msr(X2APIC_BASE + register as u32) as u32;
    }
    // SAFETY: the mapped APIC page of this CPU; the offset is below 4 KiB and 16-byte aligned.
    unsafe { page.wrapping_add(register as usize * 4).read_volatile() }
}

#[inline]
pub(crate) fn write(register: Register, value: u32) {
    let page = page();
    if page.is_null() {
        // SAFETY: an APIC register that x2APIC mode has; values come from this crate and touch interrupts only.
        unsafe { write_msr(X2APIC_BASE + register as u32, u64::from(value)) };
        return;
    }
    // SAFETY: as in `read`; values come from this crate and touch interrupts only.
    unsafe {
        page.wrapping_add(register as usize * 4)
            .write_volatile(value)
    };
}
