//! Interrupts of physical devices.

use core::fmt;
use hardware::InterruptHandler;
use x86::Vector;

/// All vectors for devices are in use, or there is no memory to note another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVector;

impl fmt::Display for NoVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no interrupt vector is free")
    }
}

/// The facet of the machine that gives vectors to devices.
///
/// A vector is the same on every CPU; which CPU an interrupt reaches is up to the line or message
/// that carries it.
pub trait Interrupts {
    /// Gives a vector to a device: `handler` is called for each interrupt with it.
    ///
    /// # Errors
    /// [`NoVector`].
    fn allocate_vector(&self, handler: &'static dyn InterruptHandler) -> Result<Vector, NoVector>;

    /// Takes a vector back. The device is silent by then; an interrupt that is under way still may
    /// find the handler, or be reported as unexpected. A vector that no device has is left alone.
    fn free_vector(&self, vector: Vector);
}
