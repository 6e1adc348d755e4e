//! The FADT: the fixed hardware. (ACPI 6.5 5.2.9)

use crate::wiring;
use acpi_tables::sdt::{GenericAddress, Sdt};

const LEN_BYTES: u32 = 276;
const REVISION: u8 = 6;
const MINOR_VERSION: u8 = 5;

const WBINVD: u32 = 1 << 0;
const PROC_C1: u32 = 1 << 2;
/// No sleep button among the fixed events. (The power button is: bit 4 clear.)
const SLP_BUTTON: u32 = 1 << 5;
/// No RTC alarm among the fixed events.
const FIX_RTC: u32 = 1 << 6;
const RESET_REG_SUP: u32 = 1 << 10;

const LEGACY_DEVICES: u16 = 1 << 0;
const HAS_8042: u16 = 1 << 1;

/// Latencies that mean C2 and C3 do not exist.
const NO_C2: u16 = 101;
const NO_C3: u16 = 1001;

/// The table, with FACS and DSDT at these addresses.
pub(crate) fn table(facs: u32, dsdt: u32, has_keyboard_controller: bool) -> Sdt {
    let mut fadt = crate::tables::header(*b"FACP", LEN_BYTES, REVISION);
    fadt.write_u32(36, facs);
    fadt.write_u32(40, dsdt);
    fadt.write_u16(46, u16::from(wiring::SCI_GSI));
    // SMI_CMD stays 0: the machine is in ACPI mode from the start.
    fadt.write_u32(56, u32::from(wiring::PM1A_EVENT));
    fadt.write_u32(64, u32::from(wiring::PM1A_CONTROL));
    fadt.write_u32(76, u32::from(wiring::PM_TIMER));
    fadt.write_u32(80, u32::from(wiring::GPE0));
    fadt.write_u8(88, 4);
    fadt.write_u8(89, 2);
    fadt.write_u8(91, 4);
    fadt.write_u8(92, wiring::GPE0_BYTES);
    fadt.write_u16(96, NO_C2);
    fadt.write_u16(98, NO_C3);
    fadt.write_u8(108, wiring::CMOS_CENTURY);
    let keyboard = if has_keyboard_controller { HAS_8042 } else { 0 };
    fadt.write_u16(109, LEGACY_DEVICES | keyboard);
    fadt.write_u32(112, WBINVD | PROC_C1 | SLP_BUTTON | FIX_RTC | RESET_REG_SUP);
    fadt.write(
        116,
        GenericAddress::io_port_address::<u8>(wiring::RESET_PORT),
    );
    fadt.write_u8(128, wiring::RESET_VALUE);
    fadt.write_u8(131, MINOR_VERSION);
    fadt.write_u64(140, u64::from(dsdt));
    // The event block is read in halves: status, enable.
    let event = GenericAddress {
        access_size: 2,
        ..GenericAddress::io_port_address::<u32>(wiring::PM1A_EVENT)
    };
    fadt.write(148, event);
    fadt.write(
        172,
        GenericAddress::io_port_address::<u16>(wiring::PM1A_CONTROL),
    );
    fadt.write(
        208,
        GenericAddress::io_port_address::<u32>(wiring::PM_TIMER),
    );
    let events = GenericAddress {
        register_bit_width: wiring::GPE0_BYTES * 8,
        ..GenericAddress::io_port_address::<u8>(wiring::GPE0)
    };
    fadt.write(220, events);
    fadt
}
