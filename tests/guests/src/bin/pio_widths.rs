//! IN and OUT of every width and form, and what they leave of the register.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::{Outcome, equal, guest, port, serial};

guest!(test);

const PCI_ADDRESS: u16 = 0xcf8;
const UNCLAIMED: u16 = 0x1234;

/// RAX after an IN over a known value.
macro_rules! in_over_pattern {
    ($code:literal, $port:expr) => {{
        let rax: u64;
        // SAFETY: reading these ports has no effect.
        unsafe { asm!("mov rax, 0x1122334455667788", $code, in("dx") $port, out("rax") rax) };
        rax
    }};
}

fn test() -> Outcome {
    for value in [0x5a, 0xa5, 0x00, 0xff] {
        port::out8(serial::SCRATCH, value);
        equal(
            "byte to the UART's scratch register",
            port::in8(serial::SCRATCH).into(),
            value.into(),
        )?;
    }
    port::out32(PCI_ADDRESS, 0x8000_f800);
    equal(
        "dword to the PCI address port",
        port::in32(PCI_ADDRESS).into(),
        0x8000_f800,
    )?;
    port::out32(PCI_ADDRESS, 0);

    // The short forms name the port in the instruction; the PIC's mask is a register to write.
    let short: u64;
    // SAFETY: the PIC's mask stays all ones.
    unsafe {
        asm!(
            "mov eax, 0xff", "out 0x21, al", "mov rax, -1", "in al, 0x21",
            out("rax") short,
        );
    }
    let long = in_over_pattern!("in al, dx", serial::SCRATCH);
    equal("IN AL, imm8", short, u64::MAX)?;
    equal("IN AL leaves the rest of RAX", long, 0x1122_3344_5566_77ff)?;

    let word = in_over_pattern!("in ax, dx", UNCLAIMED);
    let dword = in_over_pattern!("in eax, dx", UNCLAIMED);
    equal("IN AX leaves the rest of RAX", word, 0x1122_3344_5566_ffff)?;
    equal("IN EAX clears the upper half", dword, 0xffff_ffff)?;

    let mut steps = 0u64;
    // SAFETY: nothing listens at the port.
    unsafe {
        asm!(
            "out dx, al", "inc {n}", "out dx, ax", "inc {n}", "out dx, eax", "inc {n}",
            "in al, dx", "inc {n}", "in ax, dx", "inc {n}", "in eax, dx", "inc {n}",
            "out 0xe0, al", "inc {n}", "in eax, 0xe0", "inc {n}",
            n = inout(reg) steps, in("dx") UNCLAIMED, inout("rax") 0u64 => _,
        );
    }
    equal(
        "instructions behind IN and OUT were skipped or repeated",
        steps,
        8,
    )
}
