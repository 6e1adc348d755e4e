//! pvpanic knows the events of a panic, and a guest that reports one goes on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::port::{in8, out8};
use test_guests::{Outcome, equal, guest, println};

guest!(test);

/// The port. (QEMU docs/specs/pvpanic.rst, "ISA Interface")
const EVENTS: u16 = 0x505;
const PANICKED: u8 = 1 << 0;
const CRASH_LOADED: u8 = 1 << 1;
const SHUT_DOWN: u8 = 1 << 2;
const KNOWN: u8 = PANICKED | CRASH_LOADED | SHUT_DOWN;

fn test() -> Outcome {
    equal("events that are known", in8(EVENTS).into(), KNOWN.into())?;
    // Nothing has happened, and what is not known is ignored.
    out8(EVENTS, 0);
    out8(EVENTS, !KNOWN);
    println!("reports a panic");
    out8(EVENTS, PANICKED);
    equal("events after a panic", in8(EVENTS).into(), KNOWN.into())
}
