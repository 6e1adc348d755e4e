//! Parts of a virtual machine: buses, lines, devices on their wires, mailboxes, its life.
//!
//! A device model is a value (`model/device`); here it sits in a [`Slot`] behind its lock, on its
//! wires. A [`Board`] is a list of parts (`board.rs`); each part is one file of `parts`.
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
#[cfg(test)]
extern crate std;

mod alarm;
mod bell;
mod board;
mod bus;
mod empty_ports;
mod ends;
mod fabric;
mod lifecycle;
mod line;
mod mailbox;
mod maker;
mod parts;
mod services;
mod slot;
mod state;
#[cfg(test)]
mod tests;
mod vm_clock;

pub use crate::board::{Board, BoardConfig};
pub use alarm::Alarm;
pub use bell::Bell;
pub use bus::{Bus, BusTable, MmioBus, MmioTarget, Overlap, PioBus, PioTarget, Region};
pub use empty_ports::EmptyPorts;
pub use ends::{Cables, EventEnd, FarEnds, SerialEnd, TextEnd};
pub use fabric::{Cpus, Fabric};
pub use lifecycle::{Lifecycle, StopOrder, StopReason, VmState};
pub use line::{IntxLine, Line};
pub use mailbox::{Begin, Mail, Mailbox, SavedMail, Taken};
pub use parts::keyboard::Keyboard;
pub use parts::power::PowerButton;
pub use parts::uart::SerialPort;
pub use parts::vga::VgaSlot;
pub use services::Services;
pub use slot::{AnySlot, Harness, Silent, Slot};
pub use state::Rejected;
pub use vm_clock::{VmClock, to_host};
