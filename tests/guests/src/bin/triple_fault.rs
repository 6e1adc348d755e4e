//! With no IDT, an exception is a triple fault: the VM stops and says why; others go on.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::{Fail, Outcome, guest, println, tables};

guest!(test);

fn test() -> Outcome {
    println!("expect triple_fault: stop");
    tables::load_idt(0);
    // SAFETY: this ends the machine, which is the test.
    unsafe { asm!("ud2") };
    Err(Fail::new("UD2 was passed over"))
}
