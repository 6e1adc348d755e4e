//! The world switch: the only code between the hypervisor's registers and the guest's.
//!
//! RIP, RSP, RFLAGS, segments and control registers are switched by the CPU itself. What is left
//! are the other general-purpose registers. Vector registers, debug registers and the MSRs of
//! `live` stay the guest's until another vCPU needs them.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::fields;

/// State that the world switch works on, one per vCPU.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Registers {
    /// The guest's registers by [`x86::Gpr`] encoding; RSP's place is unused, it lies in the VMCS.
    pub gpr: [u64; 16],
    /// Value of HOST_RSP in the VMCS: it is rewritten only when the stack is another one.
    host_rsp: u64,
    /// True if the VMCS was launched: then VMRESUME is right, else VMLAUNCH.
    pub is_launched: bool,
}

impl Registers {
    /// All zero, for a VMCS whose HOST_RSP was never written.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            gpr: [0; 16],
            host_rsp: 0,
            is_launched: false,
        }
    }
}

const RAX: usize = 0;
const RCX: usize = 8;
const RDX: usize = 2 * 8;
const RBX: usize = 3 * 8;
const RBP: usize = 5 * 8;
const RSI: usize = 6 * 8;
const RDI: usize = 7 * 8;
const R8: usize = 8 * 8;
const HOST_RSP: usize = offset_of!(Registers, host_rsp);
const IS_LAUNCHED: usize = offset_of!(Registers, is_launched);
const _: () = assert!(offset_of!(Registers, gpr) == 0);

/// Enters the guest and returns after the next VM exit with 0, or, if the entry itself failed, with the CPU's answer:
/// 1 (CF, no current VMCS) or 0x40 (ZF, see the VM-instruction error field).
///
/// # Safety
/// 1. The current VMCS belongs to `registers`, and its host state describes this CPU, with [`exit_point`] as RIP.
/// 2. Interrupts are off, and the live state in the CPU is the vCPU's.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(registers: &mut Registers) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // `exit_point` finds the structure on top of the stack.
        "push rdi",
        "cmp rsp, [rdi + {host_rsp}]",
        "je 2f",
        "mov [rdi + {host_rsp}], rsp",
        "mov eax, {host_rsp_field}",
        "vmwrite rax, rsp",
        "2:",
        "cmp byte ptr [rdi + {is_launched}], 0",
        // MOV leaves the flags of the comparison alone.
        "mov rax, [rdi + {rax}]",
        "mov rcx, [rdi + {rcx}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rsi, [rdi + {rsi}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r8} + 8]",
        "mov r10, [rdi + {r8} + 16]",
        "mov r11, [rdi + {r8} + 24]",
        "mov r12, [rdi + {r8} + 32]",
        "mov r13, [rdi + {r8} + 40]",
        "mov r14, [rdi + {r8} + 48]",
        "mov r15, [rdi + {r8} + 56]",
        "mov rdi, [rdi + {rdi}]",
        "je 3f",
        "vmresume",
        "jmp 4f",
        "3:",
        "vmlaunch",
        // Only a failed entry comes here; the guest's registers are still in the structure as they were.
        "4:",
        "pushfq",
        "pop rax",
        "and eax, 0x41",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_rsp = const HOST_RSP,
        is_launched = const IS_LAUNCHED,
        host_rsp_field = const fields::HOST_RSP.encoding(),
        rax = const RAX,
        rcx = const RCX,
        rdx = const RDX,
        rbx = const RBX,
        rbp = const RBP,
        rsi = const RSI,
        rdi = const RDI,
        r8 = const R8,
    )
}

/// Where a VM exit arrives: HOST_RIP. Not to be called.
///
/// RSP is what `enter` left in HOST_RSP, RFLAGS is 2, all other registers are the guest's.
#[unsafe(naked)]
pub(crate) extern "C" fn exit_point() {
    naked_asm!(
        "push rdi",
        "mov rdi, [rsp + 8]",
        "mov [rdi + {rax}], rax",
        "mov [rdi + {rcx}], rcx",
        "mov [rdi + {rdx}], rdx",
        "mov [rdi + {rbx}], rbx",
        "mov [rdi + {rbp}], rbp",
        "mov [rdi + {rsi}], rsi",
        "mov [rdi + {r8}], r8",
        "mov [rdi + {r8} + 8], r9",
        "mov [rdi + {r8} + 16], r10",
        "mov [rdi + {r8} + 24], r11",
        "mov [rdi + {r8} + 32], r12",
        "mov [rdi + {r8} + 40], r13",
        "mov [rdi + {r8} + 48], r14",
        "mov [rdi + {r8} + 56], r15",
        "pop qword ptr [rdi + {rdi}]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "xor eax, eax",
        "ret",
        rax = const RAX,
        rcx = const RCX,
        rdx = const RDX,
        rbx = const RBX,
        rbp = const RBP,
        rsi = const RSI,
        rdi = const RDI,
        r8 = const R8,
    )
}
