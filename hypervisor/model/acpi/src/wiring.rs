//! Ports, lines and register values that the tables promise and the devices keep.

use core::ops::RangeInclusive;

/// First port of the power-management registers.
pub const PM_BASE: u16 = 0x600;
/// All ports of the power-management registers.
pub const PM_PORTS: RangeInclusive<u16> = PM_BASE..=PM_BASE + 0x3f;
/// PM1a status (two bytes) and enable (two bytes).
pub const PM1A_EVENT: u16 = PM_BASE;
/// PM1a control, two bytes.
pub const PM1A_CONTROL: u16 = PM_BASE + 4;
/// The power-management timer, four bytes, 24 bits of it promised.
pub const PM_TIMER: u16 = PM_BASE + 8;
/// General-purpose events: two bytes of status, two of enable.
pub const GPE0: u16 = PM_BASE + 0x20;
/// Bytes of the general-purpose event block.
pub const GPE0_BYTES: u8 = 4;
/// The line of the system control interrupt: level, active high.
pub const SCI_GSI: u8 = 9;
/// SLP_TYP of the soft-off state, in PM1a control bits 12:10.
pub const SLEEP_TYPE_S5: u8 = 5;
/// The reset port.
pub const RESET_PORT: u16 = 0xcf9;
/// What written there resets the machine.
pub const RESET_VALUE: u8 = 6;
/// CMOS register of the century.
pub const CMOS_CENTURY: u8 = 0x32;
/// The port of pvpanic, one byte.
pub const PVPANIC: u16 = 0x505;
/// The line of the mouse.
pub const MOUSE_IRQ: u8 = 12;
/// The IOAPIC's page.
pub const IO_APIC: u32 = 0xfec0_0000;
/// The IOAPIC's number.
pub const IO_APIC_ID: u8 = 0;
/// The local APICs' page.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// The HPET's page.
pub const HPET: u32 = 0xfed0_0000;
/// The HPET's general capabilities, low half: revision 1, three comparators, 64-bit counter, legacy replacement.
pub const HPET_CAPABILITIES: u32 = 0x8086_a201;
/// The line of the PIT at the IOAPIC, where IRQ 0 would have been.
pub const PIT_GSI: u8 = 2;
/// First of the four lines that PCI interrupt pins share.
pub const PCI_GSI_BASE: u8 = 16;

/// The line of a PCI function's interrupt pin: `pin` counts from 0 for INTA#. Active low for the guest, as PCI demands.
#[must_use]
pub const fn pci_gsi(device: u8, pin: u8) -> u8 {
    PCI_GSI_BASE + (device.wrapping_add(pin) & 3)
}
