//! The chips of the virtual PC, each a value.
//!
//! Devices whose registers lie in one block take offsets from its base. Those whose ports are scattered ([`PicPair`], [`Pit`],
//! [`I8042`], [`ResetControl`], [`Vga`], [`FwCfg`], [`DebugPort`], [`ExitPort`]) say "absolute" in their documentation: register each of
//! their ranges with base 0.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod calendar;
mod debug;
mod frequency;
pub mod fw_cfg;
mod hpet;
mod hpet_timer;
mod i8042;
mod ioapic;
mod keyboard;
mod local_apic;
mod message;
mod pic;
mod pic_chip;
mod pit;
mod pit_channel;
mod pm;
mod power;
mod ps2_mouse;
mod pvpanic;
mod reset;
mod ring;
mod rtc;
#[cfg(test)]
mod tampered;
mod test_device;
mod uart16550;
mod vga;

pub use debug::{DEBUG_PORT, DebugPort, EXIT_PORT, ExitPort, FIRMWARE_LOG_PORT};
pub use fw_cfg::FwCfg;
pub use hpet::{HPET_BLOCK_ID, HPET_BYTES, HPET_HZ, Hpet, HpetEvent, HpetSignal};
pub use i8042::{I8042, I8042_COMMAND_PORT, I8042_DATA_PORT};
pub use ioapic::{IOAPIC_PINS, IoApic};
pub use local_apic::{
    APIC_BYTES, APIC_DEFAULT_BASE, APIC_TIMER_HZ, Addressing, Ipi, LocalApic, LocalApicState,
    Model, PendingSummary, Shorthand,
};
pub use message::{ApicMessage, BROADCAST, Delivery, DestinationMode, Trigger};
pub use pic::PicPair;
pub use pit::{PIT_HZ, Pit};
pub use pm::{
    GPE0, GPE0_PORTS, PM_PORTS, PM_TIMER, PM_TIMER_HZ, PM1_CONTROL, PM1_EVENT, PowerManagement,
    SLEEP_TYPE_S5,
};
pub use power::PowerRequest;
pub use ps2_mouse::MouseButtons;
pub use pvpanic::{GuestEvent, PVPANIC_PORT, Pvpanic};
pub use reset::{FAST_RESET_PORT, RESET_PORT, RESET_VALUE, ResetControl};
pub use rtc::{CmosMemory, Rtc};
pub use test_device::{TEST_DEVICE_BYTES, TEST_DEVICE_PORTS, TestDevice};
pub use uart16550::Uart16550;
pub use vga::{MAX_COLUMNS, MAX_ROWS, Picture, TextMode, Vga};
