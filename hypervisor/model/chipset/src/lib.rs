//! The chips of the virtual PC, each a value.
//!
//! Devices whose registers lie in one block take offsets from its base. Those whose ports are scattered ([`PicPair`], [`Pit`] …)
//! say "absolute" in their documentation: register each of their ranges with base 0.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod frequency;
mod ioapic;
mod local_apic;
mod message;
mod pic;
mod pit;
mod pit_channel;
mod ring;
mod uart16550;

pub use ioapic::{IOAPIC_BYTES, IOAPIC_PINS, IoApic};
pub use local_apic::{
    APIC_BYTES, APIC_DEFAULT_BASE, APIC_TIMER_HZ, Addressing, Ipi, LocalApic, Model,
    PendingSummary, Shorthand,
};
pub use message::{ApicMessage, BROADCAST, Delivery, DestinationMode, Trigger};
pub use pic::PicPair;
pub use pit::{PIT_HZ, Pit};
pub use uart16550::Uart16550;
