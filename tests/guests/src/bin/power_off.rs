//! Writing SLP_EN with the soft-off type to PM1a control ends the VM, and the line says so.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Fail, Outcome, cpu, guest, port, println};

guest!(test);

const PM1A_CONTROL: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;
/// SLP_TYP of S5, as the DSDT has it.
const SOFT_OFF: u16 = 5 << 10;

fn test() -> Outcome {
    println!("expect power_off: stop");
    port::out16(PM1A_CONTROL, SOFT_OFF | SLEEP_ENABLE);
    let _ = cpu::poll(|| false);
    Err(Fail::new("still running"))
}
