//! The ACPI tables a guest reads, and the numbers in them that the virtual PC has to keep to.
//!
//! [`build`] makes one block of bytes: RSDP first, then XSDT, FADT, FACS, DSDT, MADT, HPET and MCFG. The numbers a device
//! must agree with (ports, lines, sleep type) are constants of [`wiring`].
//!
//! Follows ACPI 6.5, the IA-PC HPET specification 1.0a, and the PCI firmware specification 3.3 for MCFG.
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

mod dsdt;
mod fadt;
mod resource;
mod tables;
#[cfg(test)]
mod tests;
pub mod wiring;

pub use tables::build;

use addr::{Gpa, GpaRange};
use alloc::vec::Vec;
use core::fmt;

/// Plan of the machine that the tables describe.
#[derive(Clone, Copy, Debug)]
pub struct AcpiPlan {
    /// vCPUs; their local APICs are numbered from 0.
    pub vcpus: u32,
    /// Where the tables go: below 4 GiB, and its start where a guest looks for the root pointer.
    pub tables: GpaRange,
    /// The memory-mapped configuration space of all 256 buses, below 4 GiB.
    pub ecam: GpaRange,
    /// Where PCI functions may have their memory, below 4 GiB.
    pub pci_window: GpaRange,
    /// True if there is a keyboard controller at ports 0x60 and 0x64, with keyboard and mouse.
    pub has_keyboard_controller: bool,
}

/// Tables, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Where the root pointer lies.
    pub rsdp: Gpa,
    /// Where the bytes go.
    pub at: Gpa,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The tables cannot be made as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablesError {
    /// They do not fit the range meant for them.
    NoRoom {
        /// Size of the tables.
        wanted_bytes: u64,
        /// The range's size.
        room_bytes: u64,
    },
    /// More vCPUs than have names.
    TooManyVcpus {
        /// Number of vCPUs wanted.
        wanted: u32,
        /// Number of vCPUs there are names for.
        most: u32,
    },
    /// A range of the plan does not lie below 4 GiB.
    Above4Gib(GpaRange),
}

impl fmt::Display for TablesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom {
                wanted_bytes,
                room_bytes,
            } => {
                write!(
                    f,
                    "the ACPI tables take {wanted_bytes} bytes, there is room for {room_bytes}: use fewer vCPUs"
                )
            }
            Self::TooManyVcpus { wanted, most } => {
                write!(
                    f,
                    "{wanted} vCPUs are more than the ACPI tables can name: at most {most}"
                )
            }
            Self::Above4Gib(range) => write!(f, "{range:?} does not lie below 4 GiB"),
        }
    }
}

impl core::error::Error for TablesError {}
