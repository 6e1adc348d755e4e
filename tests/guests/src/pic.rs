//! The PIC pair. (8259A datasheet)

use crate::port::{in8, out8};

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;
/// Vector of IRQ 0 after [`init`].
pub const FIRST_VECTOR: u8 = 0x20;

/// Masks everything.
pub fn mask_all() {
    out8(MASTER + 1, 0xff);
    out8(SLAVE + 1, 0xff);
}

/// Gives the PICs their vectors and unmasks only the master's inputs in `irqs`.
pub fn init(irqs: u8) {
    init_with(irqs, false);
}

/// As [`init`]; with `is_automatic` an interrupt ends as soon as it is acknowledged.
pub fn init_with(irqs: u8, is_automatic: bool) {
    const ICW1_CASCADE_ICW4: u8 = 0x11;
    const ICW4_8086: u8 = 0x01;
    const ICW4_AUTOMATIC: u8 = 0x02;
    let icw4 = ICW4_8086 | if is_automatic { ICW4_AUTOMATIC } else { 0 };
    for (base, vector, cascade) in [(MASTER, FIRST_VECTOR, 1 << 2), (SLAVE, FIRST_VECTOR + 8, 2)] {
        out8(base, ICW1_CASCADE_ICW4);
        out8(base + 1, vector);
        out8(base + 1, cascade);
        out8(base + 1, icw4);
    }
    out8(MASTER + 1, !irqs);
    out8(SLAVE + 1, 0xff);
}

/// Unmasks only the slave's inputs in `irqs`; they come through input 2 of the master.
pub fn unmask_slave(irqs: u8) {
    out8(SLAVE + 1, !irqs);
}

/// Reads the masks: master low, slave high.
#[must_use]
pub fn masks() -> u16 {
    u16::from(in8(MASTER + 1)) | u16::from(in8(SLAVE + 1)) << 8
}

/// Ends an interrupt by its vector.
pub fn end_of_interrupt(vector: u8) {
    const NON_SPECIFIC: u8 = 0x20;
    if vector >= FIRST_VECTOR + 8 {
        out8(SLAVE, NON_SPECIFIC);
    }
    out8(MASTER, NON_SPECIFIC);
}
