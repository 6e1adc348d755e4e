//! I/O and MSR bitmaps: everything exits but the MSRs of [`GuestMsr::PASSED`]. (Intel SDM vol. 3C
//! 25.6.4 and 25.6.9)

use ::vcpu::GuestMsr;
use addr::Hpa;
use host::NoMemory;
use memory::Frames;

/// Where the bitmaps are. One set per physical CPU serves all its vCPUs; it is never changed or freed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bitmaps {
    /// One page: reads of low and high MSRs, then writes of both.
    pub msr: Hpa,
    /// Two pages: ports below 0x8000, then the others.
    pub io: Hpa,
}

impl Bitmaps {
    /// Makes the bitmaps.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let mut msr = Frames::one()?;
        fill_msr_bitmap(msr.bytes_mut());
        let mut io = Frames::new(0x2000, 0x1000)?;
        io.bytes_mut().fill(0xff);
        Ok(Self {
            msr: msr.leak(),
            io: io.leak(),
        })
    }
}

/// The write half of the MSR bitmap starts in its middle.
const WRITES: usize = 0x800 * 8;

/// The bit for reads of an MSR, if the bitmap has one; the others always exit.
const fn msr_bit(index: u32) -> Option<usize> {
    match index {
        0..=0x1fff => Some(index as usize),
        0xc000_0000..=0xc000_1fff => Some((index & 0x1fff) as usize + 0x400 * 8),
        _ => None,
    }
}

fn fill_msr_bitmap(bitmap: &mut [u8]) {
    bitmap.fill(0xff);
    for index in GuestMsr::PASSED {
        if let Some(read) = msr_bit(index) {
            for bit in [read, read + WRITES] {
                if let Some(byte) = bitmap.get_mut(bit / 8) {
                    *byte &= !(1 << (bit % 8));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_msrs_pass() {
        let mut bitmap = [0; 4096];
        fill_msr_bitmap(&mut bitmap);
        for (at, byte) in bitmap.iter().enumerate() {
            for position in 0..8 {
                // Low and high MSRs, once for reads and once for writes.
                let range = [0, 0xc000_0000][at / 0x400 % 2];
                let msr = range + (at % 0x400) as u32 * 8 + position;
                let exits = byte >> position & 1 != 0;
                assert_eq!(exits, !GuestMsr::PASSED.contains(&msr), "{msr:#x}");
            }
        }
    }

    #[test]
    fn msr_bits_lie_where_the_manual_says() {
        assert_eq!(msr_bit(0x174), Some(0x174));
        assert_eq!(msr_bit(0xc000_0100), Some(0x400 * 8 + 0x100));
        assert_eq!(msr_bit(0x4000_0000), None);
    }
}
