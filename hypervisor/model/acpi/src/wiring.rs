//! What the tables promise of the devices: ports and lines of [`pc_map`], offsets and values of registers.

use core::ops::RangeInclusive;
use pc_map::{lines, memory, ports};

pub use pc_map::lines::of_pci as pci_gsi;

/// All ports of the power-management registers.
pub const PM_PORTS: RangeInclusive<u16> = ports::PM;
/// First port of the power-management registers.
pub const PM_BASE: u16 = *PM_PORTS.start();
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
pub const SCI_GSI: u8 = lines::SCI;
/// SLP_TYP of the soft-off state, in PM1a control bits 12:10.
pub const SLEEP_TYPE_S5: u8 = 5;
/// The reset port.
pub const RESET_PORT: u16 = *ports::RESET.start();
/// What written there resets the machine.
pub const RESET_VALUE: u8 = 6;
/// CMOS register of the century.
pub const CMOS_CENTURY: u8 = 0x32;
/// The IOAPIC's page.
pub const IO_APIC: u32 = memory::IO_APIC.start().raw() as u32;
/// The IOAPIC's number.
pub const IO_APIC_ID: u8 = 0;
/// The local APICs' page.
pub const LOCAL_APIC: u32 = memory::LOCAL_APIC.start().raw() as u32;
/// The HPET's page.
pub const HPET: u32 = memory::HPET.start().raw() as u32;
/// The HPET's general capabilities, low half: revision 1, three comparators, 64-bit counter, legacy replacement.
pub const HPET_CAPABILITIES: u32 = 0x8086_a201;
/// First of the four lines that PCI interrupt pins share.
pub const PCI_GSI_BASE: u8 = lines::PCI_A;
/// The line of the PIT at the IOAPIC, where IRQ 0 would have been.
pub const PIT_GSI: u8 = lines::PIT;
