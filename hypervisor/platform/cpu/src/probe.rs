//! Instructions that may fault, and survive it.
//!
//! Each lies at the very start of a naked function, so its address is the function's: when #GP strikes there,
//! the exception handler continues at `failed`, which returns to the caller with the verdict in R8.

use core::arch::{asm, naked_asm};

#[unsafe(naked)]
extern "C" fn rdmsr_here() {
    naked_asm!("rdmsr", "xor r8d, r8d", "ret")
}

#[unsafe(naked)]
extern "C" fn wrmsr_here() {
    naked_asm!("wrmsr", "xor r8d, r8d", "ret")
}

#[unsafe(naked)]
extern "C" fn xsetbv_here() {
    naked_asm!("xsetbv", "xor r8d, r8d", "ret")
}

#[unsafe(naked)]
extern "C" fn failed() {
    naked_asm!("mov r8d, 1", "ret")
}

/// Where to continue after #GP at `rip`, if that instruction is one of ours.
pub(crate) fn recovery(rip: u64) -> Option<u64> {
    let probes = [
        rdmsr_here as *const () as u64,
        wrmsr_here as *const () as u64,
        xsetbv_here as *const () as u64,
    ];
    probes.contains(&rip).then_some(failed as *const () as u64)
}

/// Reads an MSR; `None` if this CPU answers with #GP.
pub fn try_read_msr(index: u32) -> Option<u64> {
    let (low, high, is_bad): (u32, u32, u32);
    // SAFETY: reading an MSR changes nothing, and the handler catches the fault; RAX, RDX, R8 are all it touches.
    unsafe {
        asm!("call {f}", f = sym rdmsr_here, in("ecx") index, inout("eax") 0u32 => low,
            inout("edx") 0u32 => high, out("r8d") is_bad);
    }
    (is_bad == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes an MSR; false if this CPU answers with #GP.
///
/// # Safety
/// If the value is accepted, it breaks nothing the running code relies on.
pub unsafe fn try_write_msr(index: u32, value: u64) -> bool {
    let is_bad: u32;
    // SAFETY: the caller's promise; the handler catches the fault.
    unsafe {
        asm!("call {f}", f = sym wrmsr_here, in("ecx") index, in("eax") value as u32,
            in("edx") (value >> 32) as u32, out("r8d") is_bad);
    }
    is_bad == 0
}

/// Writes XCR0; false if this CPU refuses the value or XSETBV itself.
pub fn try_write_xcr0(value: u64) -> bool {
    let is_bad: u32;
    // SAFETY: XCR0 governs vector state only, which the hypervisor does not use; the handler catches the fault.
    unsafe {
        asm!("call {f}", f = sym xsetbv_here, in("ecx") 0u32, in("eax") value as u32,
            in("edx") (value >> 32) as u32, out("r8d") is_bad);
    }
    is_bad == 0
}
