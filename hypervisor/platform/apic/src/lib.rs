//! The physical local APIC, in xAPIC and x2APIC mode, and the IOAPIC and PIC as far as silencing them goes.
//!
//! The mode is chosen once, on the boot CPU: x2APIC where CPUID has it. Register numbers are those of the
//! x2APIC MSRs less 0x800; in xAPIC mode a register lies at 16 times its number.
//! (Intel SDM vol. 3A chapter 12; AMD APM vol. 2 chapter 16)
#![no_std]
#![expect(unsafe_code, reason = "APIC registers in memory and MSRs")]

mod ioapic;
mod ipi;
mod local;
mod pic;
mod registers;
mod timer;

pub use ioapic::{IoApic, IoApicError};
pub use ipi::{
    broadcast_init, broadcast_nmi, broadcast_startup, send_init, send_interrupt, send_startup,
};
pub use local::{Mode, choose_mode, enable, end_of_interrupt, id, mode};
pub use pic::silence_pic;
pub use timer::{Timer, arm, disarm, start_timer, timer};

/// Vectors of the hypervisor's own interrupts. Devices get those from 0x30 up to below these.
pub mod vectors {
    /// The alarm: the local APIC timer.
    pub const ALARM: u8 = 0xf0;
    /// Another CPU wants attention.
    pub const KICK: u8 = 0xf1;
    /// The local APIC found an error.
    pub const ERROR: u8 = 0xfe;
    /// An interrupt that vanished before it was taken; it is not in service and gets no EOI.
    pub const SPURIOUS: u8 = 0xff;
}
