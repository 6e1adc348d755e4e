//! Control registers as the hypervisor wants them, and the change of stacks.

use core::arch::naked_asm;

use crate::features::{cpuid, cpuid_count, has_cpuid_leaf};
use crate::instructions::{read_cr0, read_cr4, write_cr0, write_cr4};
use crate::msr::{self, EFER_NXE, IA32_EFER, IA32_PAT, read_msr, write_msr};
use crate::vector_state::host_xcr0;

/// Page attribute table: the reset value, but entry 4 (PAT bit alone) is write-combining.
/// (Intel SDM vol. 3A 13.12.4)
const PAGE_ATTRIBUTES: u64 = 0x0007_0401_0007_0406;

/// Sets CR0, CR4, EFER, PAT and XCR0 of this CPU: write protection, NX, SMEP and UMIP where they exist, x87/SSE
/// state reachable for XSAVE (the hypervisor itself uses none).
///
/// # Safety
/// The page tables in use mark no page user-accessible that is executed, and none NX or read-only that must not be.
pub unsafe fn enable_host_features() {
    const CR0_MP: u64 = 1 << 1;
    const CR0_EM: u64 = 1 << 2;
    const CR0_TS: u64 = 1 << 3;
    const CR0_NE: u64 = 1 << 5;
    const CR0_WP: u64 = 1 << 16;
    const CR0_NW_CD: u64 = 3 << 29;
    const CR4_MCE: u64 = 1 << 6;
    const CR4_PGE: u64 = 1 << 7;
    const CR4_OSFXSR: u64 = 1 << 9;
    const CR4_OSXMMEXCPT: u64 = 1 << 10;
    const CR4_UMIP: u64 = 1 << 11;
    const CR4_OSXSAVE: u64 = 1 << 18;
    const CR4_SMEP: u64 = 1 << 20;

    // SAFETY: every 64-bit CPU has EFER; NX is on already or becomes legal in the tables.
    unsafe { write_msr(IA32_EFER, read_msr(IA32_EFER) | EFER_NXE) };
    let cr0 = (read_cr0() | CR0_MP | CR0_NE | CR0_WP) & !(CR0_EM | CR0_TS | CR0_NW_CD);
    // SAFETY: write protection only restricts writes to read-only pages, which nobody here does.
    unsafe { write_cr0(cr0) };

    let basic = cpuid(1);
    let structured = if has_cpuid_leaf(7) {
        cpuid_count(7, 0)
    } else {
        Default::default()
    };
    let mut cr4 = read_cr4() | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (is_present, bit) in [
        (basic.edx >> 7 & 1 != 0, CR4_MCE),
        (basic.ecx >> 26 & 1 != 0, CR4_OSXSAVE),
        (structured.ebx >> 7 & 1 != 0, CR4_SMEP),
        (structured.ecx >> 2 & 1 != 0, CR4_UMIP),
    ] {
        if is_present {
            cr4 |= bit;
        }
    }
    // SAFETY: each bit is set only where CPUID has it; none changes what is mapped.
    unsafe { write_cr4(cr4) };
    if basic.edx >> 16 & 1 != 0 {
        // SAFETY: the entries in use before (0 and 3) keep their meaning.
        unsafe { write_msr(IA32_PAT, PAGE_ATTRIBUTES) };
    }
    if let Some(xcr0) = host_xcr0() {
        crate::try_write_xcr0(xcr0);
        if structured.eax != 0 || has_xsaves() {
            // SAFETY: supervisor components are not used by anybody: none of them is saved.
            unsafe { crate::try_write_msr(msr::IA32_XSS, 0) };
        }
    }
}

fn has_xsaves() -> bool {
    has_cpuid_leaf(0xd) && cpuid_count(0xd, 1).eax >> 3 & 1 != 0
}

/// Leaves the current stack for good and calls `entry(argument)` on the one that ends at `top`.
///
/// # Safety
/// `top` is 16-byte aligned, the end of a mapped, writable stack nobody uses. Nothing on the old stack is needed
/// again.
#[unsafe(naked)]
pub unsafe extern "C" fn switch_stack(
    top: usize,
    argument: usize,
    entry: extern "C" fn(usize) -> !,
) -> ! {
    // RBP 0 and a zero return address end the backtrace here.
    naked_asm!(
        "mov rsp, rdi",
        "xor ebp, ebp",
        "mov rdi, rsi",
        "push 0",
        "jmp rdx"
    )
}
