//! A flat binary in real mode: entered at its first byte with the registers that are documented, it finds a BIOS with all
//! services a small kernel asks for, and goes on to long mode.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the entry is assembly")
)]

use test_guests::protected::holds;
use test_guests::{Outcome, bios_calls, equal, guest, that};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"awx\"",
    "r16_base:",
    test_guests::bios_calls_code!(),
    ".popsection",
    options(att_syntax),
);

guest!(test);

const MEMORY_BYTES: u64 = 16 << 20;
const INTERRUPTS: u64 = 1 << 9;

fn test() -> Outcome {
    let entered = bios_calls::entered()?;
    let [cs, ds, ss, sp, es, di] = entered.registers;
    equal("CS", cs.into(), 0x3000)?;
    equal("DS", ds.into(), 0)?;
    equal("SS", ss.into(), 0)?;
    equal("SP", sp.into(), 0x7c00)?;
    equal("FLAGS.IF", u64::from(entered.flags) & INTERRUPTS, 0)?;
    let cmdline = (u64::from(es) << 4) + u64::from(di);
    that("command line", holds(cmdline, b"first=1 second\0"))?;
    bios_calls::check_bios(MEMORY_BYTES)
}
