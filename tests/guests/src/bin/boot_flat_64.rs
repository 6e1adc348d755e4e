//! A flat binary in long mode.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the entry is assembly")
)]

use test_guests::{Outcome, guest, protected};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"awx\"",
    test_guests::entry_64_code!(),
    ".popsection",
);

guest!(test);

fn test() -> Outcome {
    protected::check_plain_entry(64, b"first=1 second\0")
}
