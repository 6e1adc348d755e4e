//! Buses: which device answers at a port or an address, and how that changes while the VM runs.
//!
//! Devices with fixed places are there before the VM runs. A [`Region`] comes and goes: a BAR that
//! the guest moves. Each vCPU reads a [`BusTable`] of its own, so an access shares nothing; a change
//! makes a new table and is over when no vCPU reads the old one any more, see [`Bus::commit`].

mod changes;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_moving;

pub use changes::{Bus, Region};
pub use table::{BusTable, MmioBus, Overlap, PioBus};

use device::{Refused, Width};

/// A slot seen from the port bus.
pub trait PioTarget: Send + Sync {
    /// The slot's name.
    fn name(&self) -> &'static str;
    /// See [`device::PioDevice::read`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&self, at: u16, width: Width) -> Result<u32, Refused>;
    /// See [`device::PioDevice::write`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&self, at: u16, width: Width, value: u32) -> Result<(), Refused>;
    /// Returns how many elements of a string may be moved at a time.
    fn string_limit(&self) -> u64;
    /// Reads one port again and again until `into` is full, or until the device refuses. Returns how many bytes were read.
    fn read_many(&self, at: u16, width: Width, into: &mut [u8]) -> usize;
    /// Writes all of `from` to one port, or until the device refuses. Returns how many bytes were written.
    fn write_many(&self, at: u16, width: Width, from: &[u8]) -> usize;
}

/// Number of port accesses of one string instruction that are done before the CPU's loop gets its
/// turn, where each is an access by itself. Each may print a line: 2 us.
pub(crate) const FEW_ELEMENTS: u64 = 512;
/// Likewise, where they are little more than copied.
pub(crate) const MANY_ELEMENTS: u64 = 8192;

/// A slot seen from the memory bus.
pub trait MmioTarget: Send + Sync {
    /// The slot's name.
    fn name(&self) -> &'static str;
    /// See [`device::MmioDevice::read`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&self, at: u64, width: Width) -> Result<u64, Refused>;
    /// See [`device::MmioDevice::write`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&self, at: u64, width: Width, value: u64) -> Result<(), Refused>;
}
