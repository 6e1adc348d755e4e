//! An interrupt is to be pushed onto a stack where no memory is: the VM stops and says why; others go on.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::{Fail, Outcome, apic, guest, println};

guest!(test);

const NOTHING: u64 = 0xfec8_1000;

fn test() -> Outcome {
    println!("expect delivery_to_nowhere: stop");
    apic::enable();
    apic::send_self(0x40);
    // SAFETY: this ends the machine, which is the test.
    unsafe {
        asm!("mov rsp, {}", "sti", "nop", "2:", "pause", "jmp 2b", in(reg) NOTHING, options(noreturn))
    };
    #[allow(
        unreachable_code,
        reason = "the asm never returns; the signature asks for an outcome"
    )]
    Err(Fail::new("not reached"))
}
