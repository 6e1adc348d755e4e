//! Registers of devices, mapped.

use core::ptr::NonNull;

use addr::Hpa;
use hardware::{BadAccess, Registers};
use host::NoMemory;
use x86::Width;

use crate::paging::{Caching, map_mmio};

/// Device memory, mapped for good.
#[derive(Debug)]
pub struct MappedRegisters {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: device memory is mapped alike on all CPUs and reached by volatile accesses only.
unsafe impl Send for MappedRegisters {}
// SAFETY: as above; the device takes accesses of several CPUs one after another.
unsafe impl Sync for MappedRegisters {}

impl MappedRegisters {
    /// Maps `bytes` of device memory from `hpa` on.
    ///
    /// # Errors
    /// [`NoMemory`] when a table cannot be allocated.
    ///
    /// # Safety
    /// The range is device memory, not RAM anybody owns, and no access to it, whatever the value,
    /// breaks memory safety as long as its driver keeps to the memory it was given for DMA.
    pub unsafe fn map(hpa: Hpa, bytes: u64, caching: Caching) -> Result<Self, NoMemory> {
        let len_bytes = usize::try_from(bytes).map_err(|_| NoMemory)?;
        // SAFETY: the caller's promise.
        let start = unsafe { map_mmio(hpa, bytes, caching)? };
        Ok(Self { start, len_bytes })
    }

    /// The place of an access that is within the range and aligned.
    #[inline]
    fn place(&self, at: usize, width: Width) -> Result<*mut u8, BadAccess> {
        BadAccess::check(at, width, self.len_bytes)?;
        let place = self.start.as_ptr().wrapping_add(at);
        // The start is wherever the device has it, at any offset in its page.
        if !place.addr().is_multiple_of(width.bytes().into()) {
            return Err(BadAccess::Misaligned);
        }
        Ok(place)
    }
}

impl Registers for MappedRegisters {
    fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    #[inline]
    fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        let place = self.place(at, width)?;
        Ok(match width {
            // SAFETY: mapped for good and aligned: `place` has looked; the device's, by the promise
            // given to `map`. Here and below.
            Width::Byte => unsafe { place.read_volatile() }.into(),
            // SAFETY: as above.
            Width::Word => unsafe { place.cast::<u16>().read_volatile() }.into(),
            // SAFETY: as above.
            Width::Dword => unsafe { place.cast::<u32>().read_volatile() }.into(),
            // SAFETY: as above.
            Width::Qword => unsafe { place.cast::<u64>().read_volatile() },
        })
    }

    #[inline]
    fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        let place = self.place(at, width)?;
        match width {
            // SAFETY: as in `read`. Here and below.
            Width::Byte => unsafe { place.write_volatile(value as u8) },
            // SAFETY: as above.
            Width::Word => unsafe { place.cast::<u16>().write_volatile(value as u16) },
            // SAFETY: as above.
            Width::Dword => unsafe { place.cast::<u32>().write_volatile(value as u32) },
            // SAFETY: as above.
            Width::Qword => unsafe { place.cast::<u64>().write_volatile(value) },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen bytes, the first of which lies at 4 modulo 8.
    #[repr(C, align(8))]
    struct Device([u8; 20]);

    fn mapped(device: &mut Device) -> MappedRegisters {
        MappedRegisters {
            start: NonNull::from(&mut device.0[4]),
            len_bytes: 16,
        }
    }

    #[test]
    fn every_width_reaches_its_bytes() {
        let mut device = Device([0; 20]);
        let registers = mapped(&mut device);
        assert_eq!(
            registers.write_u64(4, 0x8877_6655_4433_2211),
            Err(BadAccess::Misaligned)
        );
        assert_eq!(registers.write_u32(4, 0x4433_2211), Ok(()));
        assert_eq!(registers.write_u16(8, 0x6655), Ok(()));
        assert_eq!(registers.write_u8(10, 0x77), Ok(()));
        assert_eq!(registers.read_u8(5), Ok(0x22));
        assert_eq!(registers.read_u16(6), Ok(0x4433));
        assert_eq!(registers.read_u32(8), Ok(0x0077_6655));
    }

    #[test]
    fn nothing_behind_the_end_is_reached() {
        let mut device = Device([7; 20]);
        let registers = mapped(&mut device);
        assert_eq!(registers.read_u8(16), Err(BadAccess::OutOfRange));
        assert_eq!(registers.write_u32(14, 0), Err(BadAccess::OutOfRange));
        assert_eq!(
            registers.write_u64(usize::MAX, 0),
            Err(BadAccess::OutOfRange)
        );
        assert_eq!(device.0, [7; 20]);
    }
}
