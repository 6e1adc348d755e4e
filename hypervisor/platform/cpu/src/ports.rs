//! I/O ports.

use core::arch::asm;

use hardware::{BadAccess, Registers};
use x86::Width;

/// A range of I/O ports that may be used from safe code, by offset from its first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPorts {
    first: u16,
    count: u16,
}

impl IoPorts {
    /// Claims `count` ports from `first` on; `None` when they would go past the last port of the
    /// machine.
    ///
    /// # Safety
    /// No read or write within the range, of any width the caller uses, breaks memory safety: no
    /// DMA is started into memory somebody owns, nothing the running code stands on is switched
    /// off.
    pub const unsafe fn claim(first: u16, count: u16) -> Option<Self> {
        if first as u32 + count as u32 > 1 << 16 {
            return None;
        }
        Some(Self { first, count })
    }

    /// The port at `offset`, for an access of so many bytes.
    ///
    /// # Panics
    /// When the access reaches past the range.
    #[track_caller]
    const fn port(self, offset: u16, bytes: usize) -> u16 {
        assert!(
            offset as usize + bytes <= self.count as usize,
            "a port outside the claimed range"
        );
        // Does not overflow: `claim` has looked at the end of the range.
        self.first + offset
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $int:ty, $register:tt) => {
        impl IoPorts {
            #[doc = concat!("Reads a `", stringify!($int), "` from the port at `offset`.")]
            ///
            /// # Panics
            /// When it reaches past the range.
            #[track_caller]
            pub fn $read(self, offset: u16) -> $int {
                let port = self.port(offset, size_of::<$int>());
                let value: $int;
                // SAFETY: within the range, so harmless by the promise given to `claim`.
                unsafe {
                    asm!(concat!("in ", $register, ", dx"), in("dx") port, out($register) value,
                        options(nomem, nostack, preserves_flags));
                }
                value
            }

            #[doc = concat!("Writes a `", stringify!($int), "` to the port at `offset`.")]
            ///
            /// # Panics
            /// When it reaches past the range.
            #[track_caller]
            pub fn $write(self, offset: u16, value: $int) {
                let port = self.port(offset, size_of::<$int>());
                // SAFETY: within the range, so harmless by the promise given to `claim`.
                unsafe {
                    asm!(concat!("out dx, ", $register), in("dx") port, in($register) value,
                        options(nomem, nostack, preserves_flags));
                }
            }
        }
    };
}
access!(read_u8, write_u8, u8, "al");
access!(read_u16, write_u16, u16, "ax");
access!(read_u32, write_u32, u32, "eax");

/// As registers for a driver: what the inherent methods panic at is an error here.
impl Registers for IoPorts {
    #[inline]
    fn len_bytes(&self) -> usize {
        self.count.into()
    }

    #[inline]
    fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        let (ports, offset) = (*self, self.offset(at, width)?);
        match width {
            Width::Byte => Ok(ports.read_u8(offset).into()),
            Width::Word => Ok(ports.read_u16(offset).into()),
            Width::Dword => Ok(ports.read_u32(offset).into()),
            Width::Qword => Err(BadAccess::WrongWidth),
        }
    }

    #[inline]
    fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        let (ports, offset) = (*self, self.offset(at, width)?);
        match width {
            Width::Byte => ports.write_u8(offset, value as u8),
            Width::Word => ports.write_u16(offset, value as u16),
            Width::Dword => ports.write_u32(offset, value as u32),
            Width::Qword => return Err(BadAccess::WrongWidth),
        }
        Ok(())
    }
}

impl IoPorts {
    #[inline]
    fn offset(self, at: usize, width: Width) -> Result<u16, BadAccess> {
        BadAccess::check(at, width, self.count.into())?;
        u16::try_from(at).map_err(|_| BadAccess::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(first: u16, count: u16) -> Option<IoPorts> {
        // SAFETY: no test touches a port: on a PC, that would be a fault.
        unsafe { IoPorts::claim(first, count) }
    }

    fn pair() -> IoPorts {
        claim(0x70, 2).expect("two ports")
    }

    #[test]
    fn offsets_count_from_the_first_port() {
        assert_eq!(pair().port(0, 1), 0x70);
        assert_eq!(pair().port(1, 1), 0x71);
        assert_eq!(pair().port(0, 2), 0x70);
    }

    #[test]
    fn a_range_ends_with_the_last_port() {
        assert_eq!(claim(0xffff, 1).map(|last| last.port(0, 1)), Some(0xffff));
        assert_eq!(claim(0xffff, 2), None);
        assert_eq!(
            claim(1, 0xffff).map(|all| all.port(0xfffb, 4)),
            Some(0xfffc)
        );
    }

    #[test]
    fn as_registers_they_refuse_what_is_out_of_range() {
        let pair = pair();
        assert_eq!(Registers::read_u8(&pair, 2), Err(BadAccess::OutOfRange));
        assert_eq!(
            Registers::write_u16(&pair, usize::MAX, 0),
            Err(BadAccess::OutOfRange)
        );
        let all = claim(0, 16).expect("sixteen ports");
        assert_eq!(Registers::read_u32(&all, 2), Err(BadAccess::Misaligned));
        assert_eq!(Registers::read_u64(&all, 8), Err(BadAccess::WrongWidth));
    }

    #[test]
    #[should_panic(expected = "outside the claimed range")]
    fn the_port_behind_the_range_is_out_of_reach() {
        pair().read_u8(2);
    }

    #[test]
    #[should_panic(expected = "outside the claimed range")]
    fn a_wide_access_does_not_reach_behind_the_range() {
        pair().write_u16(1, 0);
    }

    #[test]
    #[should_panic(expected = "outside the claimed range")]
    fn an_offset_does_not_wrap_around() {
        pair().read_u32(0xffff);
    }

    #[test]
    #[should_panic(expected = "outside the claimed range")]
    fn an_empty_range_has_no_port() {
        claim(0x80, 0).expect("it is empty").read_u8(0);
    }
}
