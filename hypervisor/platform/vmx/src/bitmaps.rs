//! I/O and MSR bitmaps: what is not listed here exits. (Intel SDM vol. 3C 25.6.4 and 25.6.9)

use addr::Hpa;
use host::NoMemory;
use memory::Frames;
use x86::msr;

/// The MSRs a guest reads and writes without an exit: each lives in the VMCS or in registers that are switched with the vCPU.
pub const PASSED_MSRS: [u32; 10] = [
    msr::IA32_FS_BASE,
    msr::IA32_GS_BASE,
    msr::IA32_KERNEL_GS_BASE,
    msr::IA32_STAR,
    msr::IA32_LSTAR,
    msr::IA32_CSTAR,
    msr::IA32_FMASK,
    msr::IA32_SYSENTER_CS,
    msr::IA32_SYSENTER_ESP,
    msr::IA32_SYSENTER_EIP,
];

/// The ports a guest reaches without an exit: none.
pub const PASSED_PORTS: [u16; 0] = [];

/// Where the bitmaps are. One set per physical CPU serves all its vCPUs; it is never changed or freed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bitmaps {
    /// One page: reads of low and high MSRs, then writes of both.
    pub msr: Hpa,
    /// Two pages: ports below 0x8000, then the others.
    pub io: Hpa,
}

impl Bitmaps {
    /// Makes the bitmaps from the two lists.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let mut msr = Frames::one()?;
        let mut io = Frames::new(0x2000, 0x1000)?;
        msr.bytes_mut().fill(0xff);
        io.bytes_mut().fill(0xff);
        for index in PASSED_MSRS {
            let bit = msr_bit(index).expect("a passed MSR lies in one of the two ranges");
            pass(msr.bytes_mut(), bit);
            pass(msr.bytes_mut(), bit + WRITES);
        }
        for port in PASSED_PORTS {
            pass(io.bytes_mut(), usize::from(port));
        }
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

fn pass(bitmap: &mut [u8], bit: usize) {
    bitmap[bit / 8] &= !(1 << (bit % 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn msr_bits_lie_where_the_manual_says() {
        assert_eq!(msr_bit(0x174), Some(0x174));
        assert_eq!(msr_bit(0xc000_0100), Some(0x400 * 8 + 0x100));
        assert_eq!(msr_bit(0x4000_0000), None);
    }

    #[test]
    fn every_passed_msr_has_a_bit() {
        assert!(PASSED_MSRS.iter().all(|&index| msr_bit(index).is_some()));
    }
}
