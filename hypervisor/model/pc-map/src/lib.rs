//! Where everything of the virtual PC lies: ports, memory, interrupt lines. Each number is here once.
//!
//! The board puts its devices there, the ACPI tables and the firmware's data area tell guests of it.
//! No two ports, ranges or lines may collide: such a map does not compile. What is inside a device's
//! block, the offset of a register, is the device's own.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

pub mod lines;
pub mod memory;
pub mod ports;

/// Makes a constant of each entry, and one of all of them with their names, so that none is left out
/// of the check that they are disjoint.
macro_rules! map {
    ($all:ident: $kind:ty; $($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $kind = $value;)*

        /// All of them, with their names.
        pub const $all: &[(&str, $kind)] = &[$((stringify!($name), $name)),*];
    };
}
use map;
