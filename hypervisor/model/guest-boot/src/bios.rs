//! Low memory as a PC's firmware leaves it, for kernels that call it: interrupt vectors, data area,
//! ROM.
//!
//! The ROM is a page of stubs (`rom.rs`); its services are answered by the hypervisor, which finds by [`call_at`] which one is
//! called and keeps what it has to keep in the data area ([`area`]), as firmware does. The ROM lies in RAM that the guest is
//! told not to use, and can write: on its own head.
//!
//! (IBM Personal System/2 and Personal Computer BIOS Interface Technical Reference: "BIOS Data Area")

use crate::CallInsn;
use crate::plan::Write;
use crate::rom;
use addr::Gpa;
use alloc::vec;
use alloc::vec::Vec;
use pc_map::memory::{EXTENDED_DATA, FIRMWARE};
use pc_map::ports;

pub use crate::rom::Then;

/// The ROM's segment.
pub const SEGMENT: u16 = 0xf000;
/// Offset of the table of the configuration in it. (INT 15h, AH=C0h)
pub const CONFIGURATION: u16 = rom::CONFIGURATION;
/// IRQ 1's interrupt: the one call that is no service. AL holds what the keyboard sent.
pub const KEYBOARD_INTERRUPT: u8 = rom::KEYBOARD;
/// End of the first area, that of vectors and data.
pub(crate) const LOW_END: u64 = 0x500;

/// The data area: where its fields lie.
#[allow(missing_docs, reason = "the names are the reference's")]
pub mod area {
    use addr::Gpa;

    pub const START: Gpa = Gpa::new(0x400);
    pub const COM_PORTS: Gpa = Gpa::new(0x400);
    pub const EXTENDED_SEGMENT: Gpa = Gpa::new(0x40e);
    pub const EQUIPMENT: Gpa = Gpa::new(0x410);
    pub const MEMORY_KIB: Gpa = Gpa::new(0x413);
    pub const KEYBOARD_FLAGS: Gpa = Gpa::new(0x417);
    /// Offsets in segment 40h of the next key to be taken, and of the next free place.
    pub const KEYBOARD_HEAD: Gpa = Gpa::new(0x41a);
    pub const KEYBOARD_TAIL: Gpa = Gpa::new(0x41c);
    pub const VIDEO_MODE: Gpa = Gpa::new(0x449);
    pub const COLUMNS: Gpa = Gpa::new(0x44a);
    pub const PAGE_BYTES: Gpa = Gpa::new(0x44c);
    /// Of eight pages: column, then row.
    pub const CURSORS: Gpa = Gpa::new(0x450);
    /// Last line, then first line.
    pub const CURSOR_SHAPE: Gpa = Gpa::new(0x460);
    pub const CRTC_PORT: Gpa = Gpa::new(0x463);
    pub const TICKS: Gpa = Gpa::new(0x46c);
    pub const MIDNIGHT: Gpa = Gpa::new(0x470);
    /// Offsets in segment 40h of the ring's start and end.
    pub const KEYBOARD_RING: Gpa = Gpa::new(0x480);
    pub const LAST_ROW: Gpa = Gpa::new(0x484);
    pub const CHARACTER_HEIGHT: Gpa = Gpa::new(0x485);
    /// When a wait ends, in microseconds of the VM's time modulo 2^32.
    pub const WAIT_UNTIL: Gpa = Gpa::new(0x49c);
    /// Flag that a wait is going on.
    pub const WAIT_ACTIVE: Gpa = Gpa::new(0x4a0);
    /// Reserved in the reference: how many characters are written of a string that is being written, and where the cursor was.
    pub const STRING_DONE: Gpa = Gpa::new(0x4ac);
    pub const STRING_CURSOR: Gpa = Gpa::new(0x4ae);
}

/// Offsets in segment 40h of the keys' ring.
pub const KEYS: core::ops::Range<u16> = 0x1e..0x3e;

/// RAM below the extended data area, in KiB.
const CONVENTIONAL_KIB: u16 = (EXTENDED_DATA.start().raw() / 1024) as u16;
/// FPU, 80 by 25 in colour, two serial ports.
const EQUIPMENT: u16 = 1 << 1 | 2 << 4 | 2 << 9;
const TEXT_80_BY_25: u8 = 3;

/// The service that is called, by its interrupt: the CPU is in real mode, and has met a call instruction at `ip` of a code
/// segment with this base.
#[must_use]
pub fn call_at(cs_base: u64, ip: u64) -> Option<u8> {
    if cs_base == FIRMWARE.start().raw() {
        rom::call_at(ip)
    } else {
        None
    }
}

/// Vectors, data areas and ROM.
pub(crate) fn writes<'a>(call: CallInsn) -> impl Iterator<Item = Write<'a>> {
    let rom = rom::pieces(call).map(|(at, bytes)| {
        let at = FIRMWARE.start().wrapping_add(at.into());
        Write::made(at, bytes)
    });
    // Its first byte is its size in KiB.
    let extended = vec![1];
    [
        Write::made(Gpa::new(0), low()),
        Write::made(EXTENDED_DATA.start(), extended),
    ]
    .into_iter()
    .chain(rom)
}

/// From 0 to [`LOW_END`].
fn low() -> Vec<u8> {
    let vector = |interrupt| u32::from(SEGMENT) << 16 | u32::from(rom::handler(interrupt));
    let vectors = (0..=u8::MAX).map(vector);
    let mut low: Vec<u8> = vectors.flat_map(u32::to_le_bytes).collect();
    low.resize(LOW_END as usize, 0);
    let mut put = |at: Gpa, bytes: &[u8]| {
        // Constants of this file, all inside.
        for (to, from) in low.iter_mut().skip(at.raw() as usize).zip(bytes) {
            *to = *from;
        }
    };
    let word = u16::to_le_bytes;
    let com_ports = [ports::COM1, ports::COM2].map(|com| word(*com.start()));
    put(area::COM_PORTS, com_ports.as_flattened());
    let extended_segment = (EXTENDED_DATA.start().raw() >> 4) as u16;
    put(area::EXTENDED_SEGMENT, &word(extended_segment));
    put(area::EQUIPMENT, &word(EQUIPMENT));
    put(area::MEMORY_KIB, &word(CONVENTIONAL_KIB));
    let ring = [word(KEYS.start), word(KEYS.start)].concat();
    put(area::KEYBOARD_HEAD, &ring);
    let ring = [word(KEYS.start), word(KEYS.end)].concat();
    put(area::KEYBOARD_RING, &ring);
    put(area::VIDEO_MODE, &[TEXT_80_BY_25]);
    put(area::COLUMNS, &word(80));
    put(area::PAGE_BYTES, &word(0x1000));
    put(area::CURSOR_SHAPE, &[7, 6]);
    put(area::CRTC_PORT, &word(*ports::VGA_CRTC.start()));
    put(area::LAST_ROW, &[24, 16]);
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_lead_into_the_rom() {
        let low = low();
        let vector = |number: usize| {
            let bytes = &low[number * 4..][..4];
            u32::from_le_bytes(bytes.try_into().expect("four bytes"))
        };
        assert_eq!(vector(0x10), 0xf000_e100);
        assert_eq!(vector(0x08), 0xf000_e840);
        assert_eq!(vector(0x00), 0xf000_e810);
        assert_eq!(vector(0xff), 0xf000_e810);
        assert_eq!(call_at(0xf_0000, 0xe150), Some(0x15));
        assert_eq!(call_at(0xf_0010, 0xe150), None);
        // 639 KiB, and the segment that follows them.
        assert_eq!(low[0x413..0x415], [0x7f, 0x02]);
        assert_eq!(low[0x40e..0x410], [0xc0, 0x9f]);
    }
}
