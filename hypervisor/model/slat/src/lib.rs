//! Second-level address translation tables (EPT, NPT) and the walk of the guest's own tables.
//!
//! [`SlatTable`] builds what the CPU walks from GPA to HPA, in either vendor's [`Format`], in frames that a [`TableMemory`]
//! hands out. [`walk`] does in software what the CPU does from GVA to GPA, for instructions executed on the guest's behalf.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

#[cfg(test)]
extern crate std;

mod format;
mod table;
pub mod walk;

pub use format::{Ept, Format, Npt, PageSize};
pub use table::{Mapping, SlatTable, TableMemory};
