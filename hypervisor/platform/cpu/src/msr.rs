//! Model-specific registers: access, and the numbers the platform itself uses.
//! (Intel SDM vol. 4 chapter 2; AMD APM vol. 2 appendix A)

use core::arch::asm;

pub use x86::msr::{
    AMD_VM_CR as VM_CR, AMD_VM_HSAVE_PA as VM_HSAVE_PA, IA32_APIC_BASE, IA32_CSTAR, IA32_EFER,
    IA32_FEATURE_CONTROL, IA32_FMASK, IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_LSTAR,
    IA32_MCG_STATUS, IA32_MISC_ENABLE, IA32_PAT, IA32_STAR, IA32_TSC_ADJUST, IA32_TSC_AUX,
    IA32_TSC_DEADLINE, IA32_XSS, X2APIC_BASE,
};

/// EFER: no-execute enable.
pub const EFER_NXE: u64 = 1 << 11;
/// EFER: secure virtual machine enable.
pub const EFER_SVME: u64 = 1 << 12;

/// Reads an MSR this CPU is known to have; an unknown one faults and so panics. See
/// [`try_read_msr`](crate::try_read_msr) for the others.
#[inline]
pub fn read_msr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading an MSR changes nothing; #GP of an unknown one ends in a panic, not in undefined behaviour.
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes an MSR.
///
/// # Safety
/// This CPU has the MSR, accepts the value, and the value breaks nothing the running code relies on.
#[inline]
pub unsafe fn write_msr(index: u32, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}
