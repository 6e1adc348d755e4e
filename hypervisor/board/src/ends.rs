//! Far ends: the other side of each cable that leaves the board.

use alloc::sync::Arc;
use chipset::GuestEvent;

/// The far end of a serial cable.
pub trait SerialEnd: Send + Sync {
    /// Takes one byte. Returns whether the guest had better wait until
    /// [`SerialPort::release`](crate::SerialPort::release).
    fn put(&self, byte: u8) -> bool;

    /// The guest has ended: ends what it left open.
    fn end(&self);
}

/// Reads text that comes without a cable, as from a debug port.
pub trait TextEnd: Send + Sync {
    /// Takes one byte.
    fn put(&self, byte: u8);

    /// The guest has ended: ends the line it left open.
    fn end(&self);
}

/// Hears of what a guest's kernel reports of itself.
pub trait EventEnd: Send + Sync {
    /// Takes one event. A guest may report as many as it likes.
    fn tell(&self, event: GuestEvent);

    /// The guest has ended: the next one is another.
    fn end(&self);
}

/// Where the cables of one VM's board lead.
#[derive(Clone)]
pub struct FarEnds {
    /// The far end of its first serial port.
    pub com1: Arc<dyn SerialEnd>,
    /// The reader of its debug ports.
    pub debug_text: Arc<dyn TextEnd>,
    /// Receiver of its panics.
    pub events: Arc<dyn EventEnd>,
}

/// Whoever operates the machine: gives each new VM its far ends.
pub trait Cables: Sync {
    /// Returns the far ends of VM number `id`, which is called `name`.
    fn connect(&self, id: usize, name: &str) -> FarEnds;
}
