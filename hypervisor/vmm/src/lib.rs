//! Runs virtual machines: exits, vCPUs, the CPU loop, start, saved state.
//!
//! Knows no hardware: everything is generic over [`host::Host`]. Read [`exit`](self) first (`exit/mod.rs`): one line per exit.
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
#[cfg(any(test, feature = "test-host"))]
extern crate std;

mod cpu;
mod exit;
mod hypervisor;
mod registry;
mod saved;
#[cfg(any(test, feature = "test-host"))]
pub mod test_host;
#[cfg(test)]
mod tests;
mod vcpu;
mod vm;

pub use board::{StopReason, VmState};
pub use cpu::run::Chores;
pub use hypervisor::{Hypervisor, start};
pub use registry::{CreateError, DestroyError};
pub use saved::{NotPaused, RestoreError, SavedVm};
pub use vcpu::stats::{KIND_NAMES, Stats};
pub use vm::Vm;
pub use vm::assemble::AssembleError;
pub use vm::kernel::Module;
