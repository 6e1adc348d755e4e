//! The IOAPIC: every pin masked. Its devices are served by polling until a driver claims one. (82093AA datasheet)

use core::fmt;
use core::ptr::NonNull;

use addr::Hpa;

const SELECT: usize = 0;
const WINDOW: usize = 4;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;

/// A mapped IOAPIC.
pub struct IoApic {
    registers: NonNull<u32>,
    pin_count: u32,
}

/// Why an IOAPIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoApicError {
    /// Its page cannot be mapped.
    NoMemory,
    /// Nothing answers there.
    Absent,
}

impl fmt::Display for IoApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory to map it",
            Self::Absent => "nothing answers there",
        })
    }
}

impl IoApic {
    /// Maps the IOAPIC at `base`.
    ///
    /// # Errors
    /// [`IoApicError`].
    ///
    /// # Safety
    /// The firmware's tables, or the platform's convention, say that an IOAPIC is there.
    pub unsafe fn new(base: Hpa) -> Result<Self, IoApicError> {
        // SAFETY: device memory, by the caller's promise.
        let mapped = unsafe { memory::map_mmio(base, 0x20, memory::Caching::Uncached) };
        let registers = mapped.map_err(|_| IoApicError::NoMemory)?.cast();
        let mut ioapic = Self {
            registers,
            pin_count: 0,
        };
        let version = ioapic.read(VERSION);
        if version == u32::MAX || version & 0xff == 0 {
            return Err(IoApicError::Absent);
        }
        ioapic.pin_count = (version >> 16 & 0xff) + 1;
        Ok(ioapic)
    }

    /// How many pins it has.
    pub fn pin_count(&self) -> u32 {
        self.pin_count
    }

    /// Masks every pin.
    pub fn mask_all(&mut self) {
        for pin in 0..self.pin_count {
            let low = REDIRECTION + pin * 2;
            let value = self.read(low);
            self.write(low, value | MASKED);
        }
    }

    fn read(&mut self, index: u32) -> u32 {
        // SAFETY: the select register of the mapped IOAPIC.
        unsafe {
            self.registers
                .as_ptr()
                .wrapping_add(SELECT)
                .write_volatile(index)
        };
        // SAFETY: the window register of the mapped IOAPIC.
        unsafe { self.registers.as_ptr().wrapping_add(WINDOW).read_volatile() }
    }

    fn write(&mut self, index: u32, value: u32) {
        // SAFETY: the select register of the mapped IOAPIC.
        unsafe {
            self.registers
                .as_ptr()
                .wrapping_add(SELECT)
                .write_volatile(index)
        };
        // SAFETY: the window register; a masked redirection entry sends nothing anywhere.
        unsafe {
            self.registers
                .as_ptr()
                .wrapping_add(WINDOW)
                .write_volatile(value)
        };
    }
}
