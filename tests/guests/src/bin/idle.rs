//! Not a test by itself: does nothing, asleep, for ever.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Outcome, cpu, guest, println};

guest!(test);

fn test() -> Outcome {
    println!("idle up");
    cpu::halt_for_ever()
}
