//! Memory that a device reads and writes by itself.

use addr::Hpa;
use core::fmt;
use x86::Width;

use crate::BadAccess;

/// Limits of what a device can address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaLimits {
    /// The first byte lies at a multiple of this, a power of two.
    pub align_bytes: u64,
    /// Address bits of the device: every byte lies below 2 to this.
    pub address_bits: u32,
    /// No piece crosses a multiple of this, a power of two.
    pub boundary_bytes: Option<u64>,
}

impl DmaLimits {
    /// No limits but those of a 64-bit bus.
    pub const NONE: Self = Self {
        align_bytes: 1,
        address_bits: 64,
        boundary_bytes: None,
    };

    /// Returns whether the limits are what they are described as.
    #[must_use]
    pub const fn are_sound(&self) -> bool {
        self.align_bytes.is_power_of_two()
            && match self.boundary_bytes {
                Some(boundary) => boundary.is_power_of_two(),
                None => true,
            }
    }

    /// First address that is out of the device's reach; `u64::MAX` when none is.
    #[must_use]
    pub const fn end(&self) -> u64 {
        match 1u64.checked_shl(self.address_bits) {
            Some(end) => end,
            None => u64::MAX,
        }
    }

    /// Returns whether the device can take `piece` in one go, its alignment apart.
    #[must_use]
    pub fn admit(&self, piece: DmaPiece) -> bool {
        let start = piece.at.raw();
        let Some(last) = piece
            .len_bytes
            .checked_sub(1)
            .and_then(|len| start.checked_add(len))
        else {
            return false;
        };
        let crosses = |boundary: u64| (start ^ last) & !boundary.wrapping_sub(1) != 0;
        last < self.end() && !self.boundary_bytes.is_some_and(crosses)
    }
}

/// A contiguous part of a buffer, as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaPiece {
    /// Its first byte.
    pub at: Hpa,
    /// Bytes in it, at least 1.
    pub len_bytes: u64,
}

/// Why there is no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaError {
    /// No free memory is within the limits.
    NoMemory,
    /// The limits are no powers of two, or the length is 0.
    BadRequest,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory is free within the limits of the device",
            Self::BadRequest => "the limits of the device make no sense",
        })
    }
}

/// Where buffers come from.
pub trait DmaMemory {
    /// A buffer.
    type Buffer: DmaBuffer;

    /// Allocates `len_bytes` zeroed bytes within `limits`. They are one piece, unless a boundary
    /// cuts them.
    ///
    /// # Errors
    /// [`DmaError`].
    fn allocate(&self, len_bytes: usize, limits: DmaLimits) -> Result<Self::Buffer, DmaError>;
}

/// Memory that a device reads and writes by itself, meanwhile: so no reference into it exists.
///
/// A buffer that is dropped stays allocated for ever, since the device may still write to it.
/// [`release`](DmaBuffer::release) gives it back.
pub trait DmaBuffer {
    /// Its size.
    fn len_bytes(&self) -> usize;

    /// Where it lies for the device: in order, without gaps in the buffer.
    fn pieces(&self) -> &[DmaPiece];

    /// Copies out of the buffer, from offset `at`.
    ///
    /// # Errors
    /// [`BadAccess::OutOfRange`].
    fn read(&self, at: usize, into: &mut [u8]) -> Result<(), BadAccess>;

    /// Copies into the buffer, to offset `at`.
    ///
    /// # Errors
    /// [`BadAccess::OutOfRange`].
    fn write(&self, at: usize, from: &[u8]) -> Result<(), BadAccess>;

    /// Loads a number in one piece; later reads see what the device wrote before it.
    ///
    /// # Errors
    /// [`BadAccess`].
    fn load(&self, at: usize, width: Width) -> Result<u64, BadAccess>;

    /// Stores a number in one piece; the device that sees it sees what was written before.
    ///
    /// # Errors
    /// [`BadAccess`].
    fn store(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess>;

    /// Gives the memory back. The device must have let go of it: its queue was reset, or it has
    /// reported the request as done.
    fn release(self);

    /// Where the byte at offset `at` lies for the device.
    fn address(&self, at: usize) -> Option<Hpa> {
        let mut offset = at as u64;
        for piece in self.pieces() {
            if offset < piece.len_bytes {
                return piece.at.checked_add(offset);
            }
            offset -= piece.len_bytes;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn piece(at: u64, len_bytes: u64) -> DmaPiece {
        DmaPiece {
            at: Hpa::new(at),
            len_bytes,
        }
    }

    #[test]
    fn a_piece_ends_below_the_reach_of_the_device() {
        let limits = DmaLimits {
            address_bits: 32,
            ..DmaLimits::NONE
        };
        assert!(limits.admit(piece(0xffff_f000, 0x1000)));
        assert!(!limits.admit(piece(0xffff_f000, 0x1001)));
        assert!(!DmaLimits::NONE.admit(piece(u64::MAX, 2)));
        assert!(!DmaLimits::NONE.admit(piece(0x1000, 0)));
    }

    #[test]
    fn a_piece_may_touch_a_boundary_and_not_cross_it() {
        let limits = DmaLimits {
            boundary_bytes: Some(0x1_0000),
            ..DmaLimits::NONE
        };
        assert!(limits.admit(piece(0x1_f000, 0x1000)));
        assert!(!limits.admit(piece(0x1_f000, 0x1001)));
        assert!(!limits.admit(piece(0x1_ffff, 2)));
    }
}
