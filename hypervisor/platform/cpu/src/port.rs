//! I/O ports.

use core::arch::asm;

/// One I/O port that may be touched from safe code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPort(u16);

impl IoPort {
    /// Names a port.
    ///
    /// # Safety
    /// No read or write of it, of any width the caller uses, breaks memory safety: no DMA is started into
    /// memory somebody owns, nothing the running code stands on is switched off.
    pub const unsafe fn new(number: u16) -> Self {
        Self(number)
    }

    /// The port `offset` above this one; belongs to the same device.
    pub const fn at(self, offset: u16) -> Self {
        Self(self.0.wrapping_add(offset))
    }

    /// The number of the port.
    pub const fn number(self) -> u16 {
        self.0
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $int:ty, $register:tt) => {
        impl IoPort {
            #[doc = concat!("Reads a `", stringify!($int), "`.")]
            pub fn $read(self) -> $int {
                let value: $int;
                // SAFETY: harmless by the promise given to `new`.
                unsafe {
                    asm!(concat!("in ", $register, ", dx"), in("dx") self.0, out($register) value,
                        options(nomem, nostack, preserves_flags));
                }
                value
            }

            #[doc = concat!("Writes a `", stringify!($int), "`.")]
            pub fn $write(self, value: $int) {
                // SAFETY: harmless by the promise given to `new`.
                unsafe {
                    asm!(concat!("out dx, ", $register), in("dx") self.0, in($register) value,
                        options(nomem, nostack, preserves_flags));
                }
            }
        }
    };
}
access!(read_u8, write_u8, u8, "al");
access!(read_u16, write_u16, u16, "ax");
access!(read_u32, write_u32, u32, "eax");
