//! Registers of a device, in memory or at ports.

use core::fmt;
use x86::Width;

/// An access that never reaches the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAccess {
    /// It reaches past the last register.
    OutOfRange,
    /// Its offset is no multiple of its width.
    Misaligned,
    /// No access of this width exists here: 64 bits at a port.
    WrongWidth,
}

impl BadAccess {
    /// Checks an access against a range of `len_bytes`.
    ///
    /// # Errors
    /// [`BadAccess::OutOfRange`] or [`BadAccess::Misaligned`].
    #[inline]
    pub const fn check(at: usize, width: Width, len_bytes: usize) -> Result<(), Self> {
        let bytes = width.bytes() as usize;
        if at >= len_bytes || len_bytes - at < bytes {
            return Err(Self::OutOfRange);
        }
        if !at.is_multiple_of(bytes) {
            return Err(Self::Misaligned);
        }
        Ok(())
    }
}

impl fmt::Display for BadAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the access reaches past the last register",
            Self::Misaligned => "the access is not aligned to its width",
            Self::WrongWidth => "no access of this width exists here",
        })
    }
}

/// A range of registers; or memory of a device, such as a framebuffer.
///
/// Every call is one access of the device, in program order with all other calls: nothing is
/// cached, merged or left out. (Memory that is mapped write-combining is the exception: its writes
/// arrive merged, in any order.) Reading may change state, as the device's datasheet says. Numbers
/// are little-endian.
pub trait Registers {
    /// Bytes in the range.
    fn len_bytes(&self) -> usize;

    /// Reads at offset `at`.
    ///
    /// # Errors
    /// [`BadAccess`]; the device sees nothing then.
    fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess>;

    /// Writes `value`, cut to `width`, at offset `at`.
    ///
    /// # Errors
    /// [`BadAccess`]; the device sees nothing then.
    fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess>;

    /// Reads 8 bits at offset `at`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    fn read_u8(&self, at: usize) -> Result<u8, BadAccess> {
        Ok(self.read(at, Width::Byte)? as u8)
    }

    /// Reads 16 bits at offset `at`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    fn read_u16(&self, at: usize) -> Result<u16, BadAccess> {
        Ok(self.read(at, Width::Word)? as u16)
    }

    /// Reads 32 bits at offset `at`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    fn read_u32(&self, at: usize) -> Result<u32, BadAccess> {
        Ok(self.read(at, Width::Dword)? as u32)
    }

    /// Reads 64 bits at offset `at`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    fn read_u64(&self, at: usize) -> Result<u64, BadAccess> {
        self.read(at, Width::Qword)
    }

    /// Writes 8 bits at offset `at`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    fn write_u8(&self, at: usize, value: u8) -> Result<(), BadAccess> {
        self.write(at, Width::Byte, value.into())
    }

    /// Writes 16 bits at offset `at`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    fn write_u16(&self, at: usize, value: u16) -> Result<(), BadAccess> {
        self.write(at, Width::Word, value.into())
    }

    /// Writes 32 bits at offset `at`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    fn write_u32(&self, at: usize, value: u32) -> Result<(), BadAccess> {
        self.write(at, Width::Dword, value.into())
    }

    /// Writes 64 bits at offset `at`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    fn write_u64(&self, at: usize, value: u64) -> Result<(), BadAccess> {
        self.write(at, Width::Qword, value)
    }
}

impl<R: Registers + ?Sized> Registers for &R {
    #[inline]
    fn len_bytes(&self) -> usize {
        R::len_bytes(self)
    }

    #[inline]
    fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        R::read(self, at, width)
    }

    #[inline]
    fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        R::write(self, at, width, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_lies_within_the_range_and_is_aligned() {
        let check = |at, width| BadAccess::check(at, width, 16);
        assert_eq!(check(15, Width::Byte), Ok(()));
        assert_eq!(check(8, Width::Qword), Ok(()));
        assert_eq!(check(16, Width::Byte), Err(BadAccess::OutOfRange));
        assert_eq!(check(12, Width::Qword), Err(BadAccess::OutOfRange));
        assert_eq!(check(usize::MAX, Width::Dword), Err(BadAccess::OutOfRange));
        assert_eq!(check(2, Width::Dword), Err(BadAccess::Misaligned));
        assert_eq!(
            BadAccess::check(0, Width::Byte, 0),
            Err(BadAccess::OutOfRange)
        );
    }
}
