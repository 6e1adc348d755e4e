//! Properties the tables promise of the devices: ports and lines of [`pc_map`], registers of
//! [`chipset`].

use core::ops::RangeInclusive;
use pc_map::{lines, memory, ports};

pub use chipset::{HPET_BLOCK_ID, HPET_BYTES, RESET_VALUE, SLEEP_TYPE_S5};
pub use pc_map::lines::of_pci as pci_gsi;

/// All ports of the power-management registers.
pub const PM_PORTS: RangeInclusive<u16> = ports::PM;
/// First port of the power-management registers.
pub const PM_BASE: u16 = *PM_PORTS.start();
/// PM1a status (two bytes) and enable (two bytes).
pub const PM1A_EVENT: u16 = PM_BASE + chipset::PM1_EVENT;
/// PM1a control, two bytes.
pub const PM1A_CONTROL: u16 = PM_BASE + chipset::PM1_CONTROL;
/// The power-management timer, four bytes, 24 bits of it promised.
pub const PM_TIMER: u16 = PM_BASE + chipset::PM_TIMER;
/// General-purpose events: two bytes of status, two of enable.
pub const GPE0: u16 = PM_BASE + chipset::GPE0;
/// Bytes of the general-purpose event block.
pub const GPE0_BYTES: u8 = chipset::GPE0_PORTS as u8;
/// The line of the system control interrupt: level, active high.
pub const SCI_GSI: u8 = lines::SCI;
/// The reset port.
pub const RESET_PORT: u16 = *ports::RESET.start();
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
/// First of the four lines that PCI interrupt pins share.
pub const PCI_GSI_BASE: u8 = lines::PCI_A;
/// The line of the PIT at the IOAPIC, where IRQ 0 would have been.
pub const PIT_GSI: u8 = lines::PIT;
