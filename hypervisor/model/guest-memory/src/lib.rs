//! Guest RAM behind copies and atomics.
//!
//! No reference into guest RAM ever exists: the guest may be writing it. Whoever reads twice may see two values; copy once,
//! then check the copy.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

#[cfg(feature = "test-ram")]
extern crate alloc;

#[cfg(feature = "test-ram")]
mod test_ram;

#[cfg(feature = "test-ram")]
pub use test_ram::TestRam;

use addr::Gpa;
use core::sync::atomic::Ordering;

/// An access touched guest-physical memory that is not RAM. Nothing was transferred that the caller may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbacked;

/// Guest RAM.
pub trait GuestMemory: Send + Sync {
    /// Copies out of guest RAM.
    ///
    /// # Errors
    /// [`Unbacked`] when any byte lies outside RAM.
    fn read(&self, at: Gpa, into: &mut [u8]) -> Result<(), Unbacked>;

    /// Copies into guest RAM.
    ///
    /// # Errors
    /// [`Unbacked`] when any byte lies outside RAM.
    fn write(&self, at: Gpa, from: &[u8]) -> Result<(), Unbacked>;

    /// Loads an aligned 16-bit value atomically: ring indices.
    ///
    /// # Errors
    /// [`Unbacked`] outside RAM or misaligned.
    fn load_u16(&self, at: Gpa, order: Ordering) -> Result<u16, Unbacked>;

    /// Stores an aligned 16-bit value atomically.
    ///
    /// # Errors
    /// [`Unbacked`] outside RAM or misaligned.
    fn store_u16(&self, at: Gpa, value: u16, order: Ordering) -> Result<(), Unbacked>;

    /// Loads an aligned 64-bit value in one piece: page-table entries.
    ///
    /// # Errors
    /// [`Unbacked`] outside RAM or misaligned.
    fn load_u64(&self, at: Gpa) -> Result<u64, Unbacked>;

    /// Replaces an aligned 64-bit value if it still is `current`; returns whether it was.
    ///
    /// # Errors
    /// [`Unbacked`] outside RAM or misaligned.
    fn compare_exchange_u64(&self, at: Gpa, current: u64, new: u64) -> Result<bool, Unbacked>;

    /// Fills with a byte.
    ///
    /// # Errors
    /// [`Unbacked`] when any byte lies outside RAM.
    fn fill(&self, at: Gpa, len_bytes: u64, byte: u8) -> Result<(), Unbacked>;
}
