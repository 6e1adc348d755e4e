//! Contents of a VM's CMOS RAM, as firmware finds them.

const KIB: u64 = 1024;

/// RAM of the VM as firmware wants to read it from CMOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmosMemory {
    /// Bytes of RAM from 0 to the hole below 4 GiB.
    pub below_4g_bytes: u64,
    /// Bytes of RAM from 4 GiB on.
    pub above_4g_bytes: u64,
}

impl CmosMemory {
    /// Writes into the RAM what tells of it, as firmware does at every start.
    pub(super) fn write_to(&self, cmos: &mut [u8]) {
        let extended = units(self.below_4g_bytes.saturating_sub(1024 * KIB), KIB, 0xffff);
        let above_16m = self.below_4g_bytes.saturating_sub(16 * 1024 * KIB);
        let fields = [
            (0x15, 2, 640),
            (0x17, 2, extended),
            (0x30, 2, extended),
            (0x34, 2, units(above_16m, 64 * KIB, 0xffff)),
            (0x5b, 3, units(self.above_4g_bytes, 64 * KIB, 0xff_ffff)),
        ];
        for (at, len, value) in fields {
            let places = cmos.iter_mut().skip(at).take(len);
            for (place, byte) in places.zip(u64::to_le_bytes(value)) {
                *place = byte;
            }
        }
    }
}

fn units(bytes: u64, unit: u64, max: u64) -> u64 {
    (bytes / unit).min(max)
}
