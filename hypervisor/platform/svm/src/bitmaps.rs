//! I/O and MSR permission maps: a set bit is an exit, and all are set but those of
//! [`GuestMsr::PASSED`]. (AMD APM vol. 2 15.10.1, 15.11)

use ::vcpu::GuestMsr;
use addr::Hpa;
use host::NoMemory;
use memory::Frames;
use spin::Once;

/// 65,536 ports and the bits behind them that a wide access to the last port looks at.
const IO_MAP_BYTES: u64 = 3 * 4096;
/// Four ranges of 8,192 MSRs, two bits each; the last range is reserved.
const MSR_MAP_BYTES: u64 = 2 * 4096;

/// The maps, the same for every guest.
#[derive(Clone, Copy)]
pub(crate) struct Maps {
    /// I/O permission map.
    pub(crate) io: Hpa,
    /// MSR permission map.
    pub(crate) msr: Hpa,
}

static MAPS: Once<Maps> = Once::new();

/// The maps, made at the first call; they stay for ever.
///
/// # Errors
/// [`NoMemory`].
pub(crate) fn maps() -> Result<Maps, NoMemory> {
    MAPS.try_call_once(|| {
        let mut io = Frames::new(IO_MAP_BYTES, 4096)?;
        io.bytes_mut().fill(0xff);
        let mut msr = Frames::new(MSR_MAP_BYTES, 4096)?;
        fill_msr_map(msr.bytes_mut());
        Ok(Maps {
            io: io.leak(),
            msr: msr.leak(),
        })
    })
    .copied()
}

fn fill_msr_map(map: &mut [u8]) {
    map.fill(0xff);
    for index in GuestMsr::PASSED {
        if let Some((at, mask)) = msr_bits(index)
            && let Some(byte) = map.get_mut(at)
        {
            *byte &= !mask;
        }
    }
}

/// Byte offset and the two bits (read, write) of an MSR. Those outside the three ranges always exit.
fn msr_bits(index: u32) -> Option<(usize, u8)> {
    let (start, offset) = match index {
        0..=0x1fff => (0, index),
        0xc000_0000..=0xc000_1fff => (0x800, index - 0xc000_0000),
        0xc001_0000..=0xc001_1fff => (0x1000, index - 0xc001_0000),
        _ => return None,
    };
    Some((start + offset as usize / 4, 3 << (offset % 4 * 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_msrs_pass() {
        let mut map = [0; MSR_MAP_BYTES as usize];
        fill_msr_map(&mut map);
        for (index, byte) in map.iter().enumerate() {
            for position in 0..4 {
                let range = [0, 0xc000_0000, 0xc001_0000, u32::MAX - 0x1fff][index / 0x800];
                let msr = range + (index % 0x800) as u32 * 4 + position;
                let bits = byte >> (position * 2) & 3;
                let wanted = if GuestMsr::PASSED.contains(&msr) {
                    0
                } else {
                    3
                };
                assert_eq!(bits, wanted, "{msr:#x}");
            }
        }
    }

    #[test]
    fn star_is_where_the_manual_puts_it() {
        assert_eq!(msr_bits(x86::msr::IA32_STAR), Some((0x820, 0b1100)));
        assert_eq!(msr_bits(0x4b56_4d00), None);
    }
}
