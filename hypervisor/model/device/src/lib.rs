//! A device model is a value: accesses and time go in; level, pulse, deadline and messages come out.
//!
//! No lock, no clock and no IRQ number is inside a device. What it needs of the world arrives as an argument; what it does to
//! the world is a question it answers, asked by its harness after every access.
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

mod inspect;
mod state;
#[cfg(feature = "test-state")]
#[expect(
    clippy::indexing_slicing,
    reason = "for tests, which may panic: places are rolled below the length"
)]
pub mod tamper;

pub use inspect::Page;
pub use state::{BadState, Persist, State, Unreadable, decode, encode, exactly};
pub use x86::Width;

use time::Instant;

/// Why a device did not take an access. The bus answers all ones and logs; the device does not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing decodes this offset.
    NoRegister,
    /// The register exists, but not in this width.
    WrongWidth,
    /// The access straddles registers.
    Misaligned,
}

/// Level of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// Deasserted.
    #[default]
    Low,
    /// Asserted.
    High,
}

impl Level {
    /// High when `asserted`.
    #[must_use]
    pub const fn when(asserted: bool) -> Self {
        if asserted { Self::High } else { Self::Low }
    }

    /// Returns whether it is high.
    #[must_use]
    pub const fn is_high(self) -> bool {
        matches!(self, Self::High)
    }
}

/// Interface that every device model has.
pub trait Device: Send {
    /// Back to the state after power-on. Wiring and size stay.
    fn reset(&mut self);

    /// Brings the device to `now`, which never goes back.
    fn advance(&mut self, now: Instant) {
        let _ = now;
    }

    /// When it wants to be advanced next, if it will do something by itself.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Returns the level of its interrupt line: a function of state.
    fn line(&self) -> Level {
        Level::Low
    }

    /// Takes one tick that a level cannot show (PIT and HPET edges); asked until it says no.
    fn take_pulse(&mut self) -> bool {
        false
    }

    /// Writes down what an operator wants to see.
    fn inspect(&self, page: &mut Page<'_>);
}

/// A device on the I/O-port bus.
pub trait PioDevice: Device {
    /// Reads `width` at `at` ports behind its base.
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused>;

    /// Writes the low `width` of `value` at `at` ports behind its base.
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused>;

    /// Returns whether [`Self::read_many`] and [`Self::write_many`] move many elements at once:
    /// then a string instruction may move more of them before others get their turn.
    #[must_use]
    fn moves_strings() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// Reads `at` again and again into the start of `into`, whose length is a multiple of `width` and not zero. Returns how many
    /// bytes that was: at least one element, and no more than may be read before the harness is asked.
    ///
    /// # Errors
    /// [`Refused`] when no register answers; nothing was read.
    fn read_many(&mut self, at: u16, width: Width, into: &mut [u8]) -> Result<usize, Refused> {
        let value = self.read(at, width)?.to_le_bytes();
        for (to, from) in into.iter_mut().zip(value).take(width.bytes().into()) {
            *to = from;
        }
        Ok(width.bytes().into())
    }

    /// Writes the start of `from`, whose length is a multiple of `width` and not zero, to `at`, element by element. Returns how many
    /// bytes that was: at least one element, and no more than may be written before the harness is asked.
    ///
    /// # Errors
    /// [`Refused`] when no register answers; nothing was written.
    fn write_many(&mut self, at: u16, width: Width, from: &[u8]) -> Result<usize, Refused> {
        let mut value = [0; 4];
        for (to, from) in value.iter_mut().zip(from).take(width.bytes().into()) {
            *to = *from;
        }
        self.write(at, width, u32::from_le_bytes(value))?;
        Ok(width.bytes().into())
    }
}

/// A device on the memory bus.
pub trait MmioDevice: Device {
    /// Reads `width` at `at` bytes behind its base.
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused>;

    /// Writes the low `width` of `value` at `at` bytes behind its base.
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused>;
}
