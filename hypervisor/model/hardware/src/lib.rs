//! Contracts between a driver of a physical device and the machine: registers, DMA memory,
//! interrupt lines.
//!
//! A driver is safe code against these. Whoever hands registers out has checked that they are the
//! device's own and that no value written there can harm memory the driver does not own. The
//! platform implements the contracts on metal; the feature `test-double` does so on a PC.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

#[cfg(feature = "test-double")]
extern crate alloc;

mod dma;
mod line;
mod registers;
#[cfg(feature = "test-double")]
mod test_double;

pub use dma::{DmaBuffer, DmaError, DmaLimits, DmaMemory, DmaPiece};
pub use line::{InterruptHandler, IrqLine};
pub use registers::{BadAccess, Registers};
#[cfg(feature = "test-double")]
pub use test_double::{Access, StrayDma, TestDmaBuffer, TestDmaMemory, TestLine, TestRegisters};
