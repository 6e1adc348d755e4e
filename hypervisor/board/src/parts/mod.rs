//! Parts of a board: one file a part, with its device's harness, addresses and lines.
//!
//! A part is a function `install` that takes from the [`Maker`](crate::maker::Maker) what it needs and
//! returns what others want of it: the operator's end of a cable, a slot to look at.

pub(crate) mod debug_port;
pub(crate) mod exit_port;
pub(crate) mod fw_cfg;
pub(crate) mod hpet;
pub(crate) mod interrupts;
pub(crate) mod keyboard;
pub(crate) mod pci;
pub(crate) mod pit;
pub(crate) mod power;
pub(crate) mod pvpanic;
pub(crate) mod reset;
pub(crate) mod rtc;
pub(crate) mod test_device;
pub(crate) mod uart;
pub(crate) mod vga;
