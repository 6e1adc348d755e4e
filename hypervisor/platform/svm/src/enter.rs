//! The world switch. (AMD APM vol. 2 15.5, 15.17)
//!
//! What the hypervisor runs with, and what happens here:
//!
//! | | RFLAGS.IF | GIF | physical interrupt | NMI |
//! |---|---|---|---|---|
//! | hypervisor | 0 | 1 | waits for a window | taken by the hypervisor's handler |
//! | CLGI to VMRUN, #VMEXIT to STGI | 1 | 0 | waits | waits |
//! | guest | 1 (the host's, kept by VMRUN) | 1 | #VMEXIT(INTR), still pending | #VMEXIT(NMI), still pending |
//!
//! With V_INTR_MASKING the host's IF at VMRUN decides whether a physical interrupt ends the guest, so IF is set while GIF
//! holds everything off: an interrupt that came before VMRUN is still pending and ends the guest at once. An NMI that ended
//! the guest is taken at STGI, when TR and GS are the hypervisor's again and its handler has a stack.

use core::arch::naked_asm;

/// The guest's general-purpose registers by encoding, without RAX and RSP, which live in the VMCB: their places are unused.
#[repr(C)]
pub(crate) struct GuestRegisters(pub(crate) [u64; 16]);

/// Runs the guest until its next exit; `shadow` is the VMCB's interrupt shadow, 0 or 1.
///
/// # Safety
/// 1. EFER.SVME is on and VM_HSAVE_PA set, interrupts are off, GIF is 1.
/// 2. `registers` is valid for reads and writes.
/// 3. `vmcb` is the physical address of a block of this VM whose nested tables map only what the guest may have, whose
///    permission maps are ours, and which intercepts VMRUN and physical interrupts.
/// 4. `host` is the physical address of a block into which VMSAVE stored this CPU's state.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    registers: *mut GuestRegisters,
    vmcb: u64,
    host: u64,
    shadow: u64,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdx",
        "push rdi",
        "clgi",
        // Not right before VMRUN: on TCG the shadow of STI reaches into the guest.
        "sti",
        "test cl, 1",
        "mov rax, rsi",
        "vmload rax",
        "mov rcx, [rdi + 1*8]",
        "mov rdx, [rdi + 2*8]",
        "mov rbx, [rdi + 3*8]",
        "mov rbp, [rdi + 5*8]",
        "mov rsi, [rdi + 6*8]",
        "mov r8, [rdi + 8*8]",
        "mov r9, [rdi + 9*8]",
        "mov r10, [rdi + 10*8]",
        "mov r11, [rdi + 11*8]",
        "mov r12, [rdi + 12*8]",
        "mov r13, [rdi + 13*8]",
        "mov r14, [rdi + 14*8]",
        "mov r15, [rdi + 15*8]",
        "mov rdi, [rdi + 7*8]",
        // TCG does not load the shadow from the VMCB, and an interrupt between the guest's STI and HLT is a wake-up lost. So
        // here the reach of our own STI is welcome; on other CPUs an STI with IF set does nothing.
        "jz 2f",
        "sti",
        "2:",
        "vmrun rax",
        // RAX, RSP and RFLAGS are the host's again; all other registers are the guest's.
        "push rdi",
        "mov rdi, [rsp + 8]",
        "mov [rdi + 1*8], rcx",
        "mov [rdi + 2*8], rdx",
        "mov [rdi + 3*8], rbx",
        "mov [rdi + 5*8], rbp",
        "mov [rdi + 6*8], rsi",
        "mov [rdi + 8*8], r8",
        "mov [rdi + 9*8], r9",
        "mov [rdi + 10*8], r10",
        "mov [rdi + 11*8], r11",
        "mov [rdi + 12*8], r12",
        "mov [rdi + 13*8], r13",
        "mov [rdi + 14*8], r14",
        "mov [rdi + 15*8], r15",
        "pop qword ptr [rdi + 7*8]",
        // FS, GS, TR, LDTR and the syscall MSRs: out with the guest's, in with ours.
        "vmsave rax",
        "mov rax, [rsp + 8]",
        "vmload rax",
        "cli",
        "stgi",
        "add rsp, 16",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        // The guest may have left DF set; RFLAGS came back with VMRUN's own, where it is clear.
        "ret",
    )
}

/// Stores FS, GS, TR, LDTR and the syscall MSRs of this CPU into the block at `host`, for [`enter`] to load after each exit.
///
/// # Safety
/// EFER.SVME is on; `host` is the physical address of a page that belongs to the caller.
pub(crate) unsafe fn save_host(host: u64) {
    // SAFETY: the caller's promise.
    unsafe { core::arch::asm!("vmsave rax", in("rax") host, options(nostack, preserves_flags)) };
}
