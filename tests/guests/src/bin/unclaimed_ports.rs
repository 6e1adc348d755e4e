//! Ports where nothing listens read all ones and swallow what is written.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Outcome, equal, guest, port};

guest!(test);

fn test() -> Outcome {
    for at in [0x1234, 0x2e8, 0x378, 0x9000, 0xfff0] {
        equal("8 bits", port::in8(at).into(), 0xff)?;
        equal("16 bits", port::in16(at).into(), 0xffff)?;
        equal("32 bits", port::in32(at).into(), 0xffff_ffff)?;
        port::out8(at, 0);
        port::out16(at, 0);
        port::out32(at, 0);
        equal("after a write", port::in32(at).into(), 0xffff_ffff)?;
    }
    // Past the last port.
    equal("the last port", port::in8(0xffff).into(), 0xff)
}
