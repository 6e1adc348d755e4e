//! Model-specific registers: access, and the numbers the platform itself uses.
//! (Intel SDM vol. 4 chapter 2; AMD APM vol. 2 appendix A)

use core::arch::asm;

/// APIC base, enable and mode bits.
pub const IA32_APIC_BASE: u32 = 0x1b;
/// VMX and SMX permission, locked by firmware. (Intel)
pub const IA32_FEATURE_CONTROL: u32 = 0x3a;
/// Machine-check global status.
pub const IA32_MCG_STATUS: u32 = 0x17a;
/// Miscellaneous enables.
pub const IA32_MISC_ENABLE: u32 = 0x1a0;
/// Page attribute table.
pub const IA32_PAT: u32 = 0x277;
/// TSC value at which the local APIC timer fires, in TSC-deadline mode.
pub const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// First register of the x2APIC block.
pub const X2APIC_BASE: u32 = 0x800;
/// Supervisor state components enabled for XSAVES.
pub const IA32_XSS: u32 = 0xda0;
/// Extended feature enables: SCE, LME, LMA, NXE, SVME.
pub const IA32_EFER: u32 = 0xc000_0080;
/// SYSCALL segments.
pub const IA32_STAR: u32 = 0xc000_0081;
/// SYSCALL entry, 64-bit.
pub const IA32_LSTAR: u32 = 0xc000_0082;
/// SYSCALL entry, compatibility mode.
pub const IA32_CSTAR: u32 = 0xc000_0083;
/// SYSCALL flag mask.
pub const IA32_FMASK: u32 = 0xc000_0084;
/// FS base.
pub const IA32_FS_BASE: u32 = 0xc000_0100;
/// GS base.
pub const IA32_GS_BASE: u32 = 0xc000_0101;
/// What SWAPGS exchanges GS base with.
pub const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;
/// Auxiliary value of RDTSCP.
pub const IA32_TSC_AUX: u32 = 0xc000_0103;
/// SVM disable and lock. (AMD)
pub const VM_CR: u32 = 0xc001_0114;
/// Physical address of the host save area. (AMD)
pub const VM_HSAVE_PA: u32 = 0xc001_0117;

/// EFER: SYSCALL enable.
pub const EFER_SCE: u64 = 1 << 0;
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
