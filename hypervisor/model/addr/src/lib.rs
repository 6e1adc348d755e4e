//! The four address spaces of a virtualized machine, as types that do not mix.
//!
//! | type | space | who translates it further |
//! |---|---|---|
//! | [`Gva`] | guest-virtual | the guest's own page tables, to a [`Gpa`] |
//! | [`Gpa`] | guest-physical | EPT or NPT, to an [`Hpa`] |
//! | [`Hpa`] | host-physical | nobody: this is what the bus sees |
//! | [`Hva`] | host-virtual | the hypervisor's own page tables, to an [`Hpa`] |
//!
//! Arithmetic is checked; a conversion between spaces has a name and lives with whoever owns the translation.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod range;

pub use range::GpaRange;

use core::fmt;

/// Bytes in the smallest page, on every space and vendor.
pub const PAGE_BYTES: u64 = 4096;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Names a number as an address of this space.
            #[must_use]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// The bare number, for registers and tables.
            #[must_use]
            pub const fn raw(self) -> $raw {
                self.0
            }

            /// The address `bytes` further up, or `None` past the end of the space.
            #[must_use]
            pub const fn checked_add(self, bytes: $raw) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// The address `bytes` further up, modulo the width of the space, as the CPU's own address arithmetic.
            #[must_use]
            pub const fn wrapping_add(self, bytes: $raw) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// Bytes from `base` up to here, or `None` when `base` lies above.
            #[must_use]
            pub const fn offset_from(self, base: Self) -> Option<$raw> {
                self.0.checked_sub(base.0)
            }

            /// Rounds down to a multiple of `align`, a power of two.
            #[must_use]
            pub const fn align_down(self, align: $raw) -> Self {
                Self(self.0 & !(align - 1))
            }

            /// Returns whether the address is a multiple of `align`, a power of two.
            #[must_use]
            pub const fn is_aligned(self, align: $raw) -> bool {
                self.0 & (align - 1) == 0
            }

            /// Offset within its 4 KiB page, 0 to 4095.
            #[must_use]
            pub const fn page_offset(self) -> $raw {
                self.0 & (PAGE_BYTES as $raw - 1)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address!(
    /// A guest-physical address.
    Gpa,
    u64
);
address!(
    /// A host-physical address.
    Hpa,
    u64
);
address!(
    /// A guest-virtual (linear) address.
    Gva,
    u64
);
address!(
    /// A host-virtual address.
    Hva,
    usize
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_the_end_of_the_space() {
        assert_eq!(Gpa::new(u64::MAX).checked_add(1), None);
        assert_eq!(Gpa::new(4).offset_from(Gpa::new(5)), None);
        assert_eq!(Gpa::new(0x1fff).align_down(0x1000), Gpa::new(0x1000));
        assert_eq!(Gva::new(0x1234).page_offset(), 0x234);
    }
}
