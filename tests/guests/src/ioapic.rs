//! The IOAPIC. (82093AA datasheet)

use crate::mmio;

const SELECT: u64 = 0xfec0_0000;
const WINDOW: u64 = 0xfec0_0010;
const FIRST_ENTRY: u32 = 0x10;

/// Version register: pins minus one in bits 23:16.
pub const VERSION: u32 = 1;
/// Set in a redirection entry between delivery of a level interrupt and its EOI.
pub const REMOTE_IRR: u32 = 1 << 14;

/// How a pin is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By its rising edge.
    Edge,
    /// By its high level.
    Level,
}

/// Reads a register.
#[must_use]
pub fn read(register: u32) -> u32 {
    mmio::write32(SELECT, register);
    mmio::read32(WINDOW)
}

fn write(register: u32, value: u32) {
    mmio::write32(SELECT, register);
    mmio::write32(WINDOW, value);
}

/// Routes a pin to a vector at local APIC 0.
pub fn route(pin: u8, vector: u8, trigger: Trigger) {
    let register = FIRST_ENTRY + 2 * u32::from(pin);
    let level = u32::from(trigger == Trigger::Level) << 15;
    // The destination first: the low half may unmask.
    write(register + 1, 0);
    write(register, level | u32::from(vector));
}

/// Masks a pin.
pub fn mask(pin: u8) {
    const MASKED: u32 = 1 << 16;
    let register = FIRST_ENTRY + 2 * u32::from(pin);
    write(register, read(register) | MASKED);
}

/// The low half of a pin's redirection entry.
#[must_use]
pub fn entry(pin: u8) -> u32 {
    read(FIRST_ENTRY + 2 * u32::from(pin))
}
