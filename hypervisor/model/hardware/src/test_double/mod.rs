//! Registers, DMA memory and lines without a machine.

mod dma;
mod line;
mod registers;

pub use dma::{StrayDma, TestDmaBuffer, TestDmaMemory};
pub use line::TestLine;
pub use registers::{Access, TestRegisters};
