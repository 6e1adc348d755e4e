//! PCI configuration space by ports, and the two functions for tests of the hypervisor.
//!
//! (PCI Local Bus 3.0 3.2.2.3.2)

use crate::mmio;
use crate::port::{in32, out8, out32};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLED: u32 = 1 << 31;

/// Device numbers of the two functions; both interrupt on [`LINE`].
pub const TEST_DEVICES: [u8; 2] = [3, 4];
/// Vendor and device id of both.
pub const TEST_IDS: u32 = 0x0005_1b36;
/// Their line: the IOAPIC's pin of PIRQD.
pub const LINE: u8 = 19;
/// Device number of the LPC bridge, and its register that routes PIRQD to the PIC.
pub const LPC: u8 = 0x1f;
/// See [`LPC`].
pub const PIRQD_ROUTE: u8 = 0x63;

/// The command register's bits for ports, memory, and INTx off.
pub const COMMAND_PORTS: u32 = 1 << 0;
/// See [`COMMAND_PORTS`].
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// See [`COMMAND_PORTS`].
pub const COMMAND_INTX_OFF: u32 = 1 << 10;

/// Registers of a test device in its page.
pub mod register {
    /// Reads [`super::TEST_ID`].
    pub const ID: u64 = 0;
    /// Any number.
    pub const NUMBER: u64 = 4;
    /// Bit 0 holds the line.
    pub const LINE: u64 = 8;
    /// Counts reads of probes.
    pub const PROBES: u64 = 12;
    /// The first of the probes, which read as their offset.
    pub const FIRST_PROBE: u64 = 0x100;
}

/// What [`register::ID`] reads.
pub const TEST_ID: u32 = 0x7e57_de71;

fn select(device: u8, register: u8) {
    out32(
        ADDRESS,
        ENABLED | u32::from(device) << 11 | u32::from(register & 0xfc),
    );
}

/// Reads a doubleword of function 0 of a device of bus 0.
#[must_use]
pub fn read(device: u8, register: u8) -> u32 {
    select(device, register);
    in32(DATA)
}

/// Writes a doubleword.
pub fn write(device: u8, register: u8, value: u32) {
    select(device, register);
    out32(DATA, value);
}

/// Writes a byte.
pub fn write8(device: u8, register: u8, value: u8) {
    select(device, register);
    out8(DATA + u16::from(register & 3), value);
}

/// Puts a test device's page at `at` and lets it answer there.
pub fn map(device: u8, at: u64) {
    write(device, 0x10, at as u32);
    write(device, 4, COMMAND_MEMORY);
}

/// Sets whether the test device whose page lies at `at` holds its line.
pub fn hold(at: u64, is_held: bool) {
    mmio::write32(at + register::LINE, is_held.into());
}
