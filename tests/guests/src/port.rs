//! I/O ports, by every width.

use core::arch::asm;

macro_rules! port {
    ($in:ident, $out:ident, $type:ty, $register:tt, $width:literal) => {
        #[doc = concat!("Reads a port, ", $width, " bits.")]
        #[must_use]
        pub fn $in(port: u16) -> $type {
            let value: $type;
            // SAFETY: the guest owns its machine, and no device of it reads or writes memory at our back.
            unsafe {
                asm!(concat!("in ", $register, ", dx"), out($register) value, in("dx") port,
                    options(nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Writes a port, ", $width, " bits.")]
        pub fn $out(port: u16, value: $type) {
            // SAFETY: as for reading.
            unsafe {
                asm!(concat!("out dx, ", $register), in($register) value, in("dx") port,
                    options(nostack, preserves_flags));
            }
        }
    };
}

port!(in8, out8, u8, "al", "8");
port!(in16, out16, u16, "ax", "16");
port!(in32, out32, u32, "eax", "32");
