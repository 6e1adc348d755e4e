//! PCI configuration space and its two doors.
//!
//! A [`Function`] is a value; a [`Root`] holds all of a VM's, and is both a port device (0xCF8, 0xCFC) and a memory device (ECAM).
//! What BARs decode is answered here and routed by the board: [`Root::windows`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod bdf;
mod board;
mod function;
mod root;

pub use bdf::Bdf;
pub use board::{HOST_BRIDGE, LPC, PIRQS, pirq_route, q35};
pub use function::{BarKind, BarWindow, Function, Identity};
pub use root::{CONFIG_ADDRESS_PORT, CONFIG_DATA_PORT, Occupied, Root};
