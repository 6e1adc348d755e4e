//! The physical local APIC, in xAPIC and x2APIC mode, the IOAPIC, and the
//! PIC as far as silencing it goes.
//!
//! The mode is chosen once, on the boot CPU: x2APIC where CPUID has it. Register numbers are those of the
//! x2APIC MSRs less 0x800; in xAPIC mode a register lies at 16 times its number.
//! (Intel SDM vol. 3A chapter 12; AMD APM vol. 2 chapter 16)
#![no_std]
#![expect(unsafe_code, reason = "APIC registers in memory and MSRs")]

extern crate alloc;

mod ioapic;
mod ipi;
mod local;
mod pic;
mod registers;
mod timer;
pub mod vectors;

pub use ioapic::{IoApic, IoApicError, IoApicLine, NoPin, Route, Trigger};
pub use ipi::{
    broadcast_init, broadcast_nmi, broadcast_startup, send_init, send_interrupt, send_startup,
};
pub use local::{Mode, choose_mode, enable, end_of_interrupt, id, mode};
pub use pic::silence_pic;
pub use timer::{Timer, arm, disarm, start_timer, timer};
