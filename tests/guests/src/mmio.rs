//! Device registers in memory.

macro_rules! mmio {
    ($read:ident, $write:ident, $type:ty) => {
        #[doc = concat!("Reads a `", stringify!($type), "` register at a physical address below 4 GiB.")]
        #[must_use]
        pub fn $read(at: u64) -> $type {
            // SAFETY: the address is mapped to itself; the tests name device registers and unused memory only.
            unsafe { core::ptr::read_volatile(at as *const $type) }
        }

        #[doc = concat!("Writes a `", stringify!($type), "` register at a physical address below 4 GiB.")]
        pub fn $write(at: u64, value: $type) {
            // SAFETY: as for reading.
            unsafe { core::ptr::write_volatile(at as *mut $type, value) };
        }
    };
}

mmio!(read8, write8, u8);
mmio!(read16, write16, u16);
mmio!(read32, write32, u32);
mmio!(read64, write64, u64);
