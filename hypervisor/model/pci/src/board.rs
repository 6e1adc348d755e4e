//! The functions every board has: host bridge and LPC bridge of a Q35 PC.
//!
//! Ids and registers follow the Intel 3 Series (82Q35) datasheet, section 5, and the ICH9 datasheet, section 13.1.

use crate::bdf::Bdf;
use crate::function::{Function, Identity};
use crate::root::Root;
use device::Width;

/// Where the host bridge sits.
pub const HOST_BRIDGE: Bdf = Bdf::new(0, 0, 0);
/// Where the LPC bridge sits.
pub const LPC: Bdf = Bdf::new(0, 0x1f, 0);

const INTEL: u16 = 0x8086;
const CLASS_HOST_BRIDGE: u32 = 0x06_00_00;
const CLASS_ISA_BRIDGE: u32 = 0x06_01_00;

/// ACPI power-management base: address, and a flag for I/O space.
const PMBASE: usize = 0x40;
/// ACPI control: bit 7 opens the block at PMBASE; the SCI is IRQ 9.
const ACPI_CNTL: usize = 0x44;
const ACPI_ENABLED: u8 = 1 << 7;

/// Routing of PIRQA to PIRQD, and of PIRQE to PIRQH, to inputs of the PIC pair. (ICH9 datasheet
/// 13.1.20, 13.1.22)
const PIRQA_ROUT: usize = 0x60;
const PIRQE_ROUT: usize = 0x68;
/// To none; bits 3:0 are the input otherwise.
const ROUTE_OFF: u8 = 1 << 7;
const ROUTE_WRITABLE: u8 = 0x8f;
/// Number of PIRQs there are.
pub const PIRQS: u8 = 8;

/// Returns the input of the PIC pair that PIRQ `number`, 0 for PIRQA, is routed to, if it is to any.
/// Inputs that cannot be chosen (0 to 2, 8, 13) are none.
#[must_use]
pub fn pirq_route(root: &Root, number: u8) -> Option<u8> {
    let register = match number {
        0..=3 => PIRQA_ROUT as u16 + u16::from(number),
        4..=7 => PIRQE_ROUT as u16 + u16::from(number - 4),
        _ => return None,
    };
    let route = root.function(LPC)?.read(register, Width::Byte).ok()? as u8;
    let irq = route & 0xf;
    (route & ROUTE_OFF == 0 && !matches!(irq, 0..=2 | 8 | 13)).then_some(irq)
}

/// A bus with the two bridges; the ACPI block lies at `pm_base` and cannot be moved.
#[must_use]
pub fn q35(pm_base: u16) -> Root {
    let identity = |device, class, is_multifunction| Identity {
        vendor: INTEL,
        device,
        class,
        revision: 2,
        subsystem: (0, 0),
        is_multifunction,
    };
    let pm = (u32::from(pm_base) & 0xff80 | 1).to_le_bytes();
    let bridge = Function::new(identity(0x29c0, CLASS_HOST_BRIDGE, false));
    let lpc = Function::new(identity(0x2918, CLASS_ISA_BRIDGE, true))
        .with_bytes(PMBASE, &pm, &[])
        .with_bytes(ACPI_CNTL, &[ACPI_ENABLED], &[])
        .with_bytes(PIRQA_ROUT, &[ROUTE_OFF; 4], &[ROUTE_WRITABLE; 4])
        .with_bytes(PIRQE_ROUT, &[ROUTE_OFF; 4], &[ROUTE_WRITABLE; 4]);
    let mut root = Root::new();
    #[expect(
        clippy::expect_used,
        reason = "the bus was empty and the two places, constants of this file, differ"
    )]
    root.add(HOST_BRIDGE, bridge)
        .and_then(|()| root.add(LPC, lpc))
        .expect("the bus was empty and the places differ");
    root
}
