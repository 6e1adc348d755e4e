//! The 256 entry points of the IDT.
//!
//! Vectors 0 to 31 save all registers and call [`handle_exception`]; the others set their bit in the pending
//! bitmap of the CPU's area and return. Each stub takes 16 bytes; the table starts at the first 16-byte
//! boundary in the function.

use core::arch::naked_asm;

use crate::area::PENDING_OFFSET;
use crate::exceptions::handle_exception;

const STUB_BYTES: usize = 16;

/// Address of the stub of a vector.
pub(crate) fn stub_address(vector: u8) -> u64 {
    let start = (stubs as *const () as usize).next_multiple_of(STUB_BYTES);
    (start + usize::from(vector) * STUB_BYTES) as u64
}

/// Exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX.
const WITH_ERROR_CODE: u32 = 1 << 8
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 21
    | 1 << 29
    | 1 << 30;

#[unsafe(naked)]
extern "C" fn stubs() {
    naked_asm!(
        ".balign 16",
        ".set caisson_vector, 0",
        ".rept 32",
        ".balign 16",
        ".if (({with_error} >> caisson_vector) & 1) == 0",
        "push 0",
        ".endif",
        "push caisson_vector",
        "jmp {exception}",
        ".set caisson_vector, caisson_vector + 1",
        ".endr",
        ".rept 224",
        ".balign 16",
        "push rax",
        "mov eax, offset caisson_vector",
        "jmp {interrupt}",
        ".set caisson_vector, caisson_vector + 1",
        ".endr",
        with_error = const WITH_ERROR_CODE,
        exception = sym exception,
        interrupt = sym interrupt,
    )
}

/// Sets the vector's bit. No EOI: the CPU loop does it when it takes the interrupt.
#[unsafe(naked)]
extern "C" fn interrupt() {
    // BTS with a register offset reaches the whole 256-bit map behind its address.
    naked_asm!("lock bts dword ptr gs:[{pending}], eax", "pop rax", "iretq", pending = const PENDING_OFFSET)
}

/// Saves the registers as an [`ExceptionFrame`](crate::ExceptionFrame) and calls Rust.
#[unsafe(naked)]
extern "C" fn exception() {
    naked_asm!(
        "push rax", "push rcx", "push rdx", "push rbx", "push rbp", "push rsi", "push rdi",
        "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
        "cld",
        // The CPU aligned RSP to 16 before its six words; with vector and 15 registers it is aligned again.
        "mov rdi, rsp",
        "call {handler}",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
        "pop rdi", "pop rsi", "pop rbp", "pop rbx", "pop rdx", "pop rcx", "pop rax",
        "add rsp, 16",
        "iretq",
        handler = sym handle_exception,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_at(vector: u8) -> [u8; STUB_BYTES] {
        // SAFETY: the stub table is code of this program, readable.
        unsafe { (stub_address(vector) as *const [u8; STUB_BYTES]).read() }
    }

    #[test]
    fn stubs_push_their_own_vector() {
        // push imm8 is 6A ib; the dummy error code comes before it where the CPU pushes none.
        assert_eq!(bytes_at(0)[..4], [0x6a, 0, 0x6a, 0]);
        assert_eq!(bytes_at(14)[..2], [0x6a, 14]);
        assert_eq!(bytes_at(31)[..4], [0x6a, 0, 0x6a, 31]);
        // push rax; mov eax, imm32
        assert_eq!(bytes_at(32)[..6], [0x50, 0xb8, 32, 0, 0, 0]);
        assert_eq!(bytes_at(255)[..6], [0x50, 0xb8, 255, 0, 0, 0]);
    }
}
