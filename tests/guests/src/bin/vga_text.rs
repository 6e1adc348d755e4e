//! The VGA adapter is in text mode, its registers read back, its memory is memory, and a poll for the retrace ends.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::port::{in8, out8, out16};
use test_guests::{Outcome, cpu, equal, guest, mmio, that};

guest!(test);

const ATTRIBUTE: u16 = 0x3c0;
const ATTRIBUTE_READ: u16 = 0x3c1;
const MISC_READ: u16 = 0x3cc;
const CRTC: u16 = 0x3d4;
const STATUS: u16 = 0x3da;
const RETRACE: u8 = 1 << 3;
const TEXT: u64 = 0xb_8000;
const GRAPHICS: u64 = 0xa_0000;
const CELLS: u64 = 80 * 25;

fn crtc(index: u8) -> u8 {
    out8(CRTC, index);
    in8(CRTC + 1)
}

/// Index and value in one access, as drivers do.
fn set_crtc(index: u8, value: u8) {
    out16(CRTC, u16::from_le_bytes([index, value]));
}

fn test() -> Outcome {
    equal("colour", (in8(MISC_READ) & 1).into(), 1)?;
    equal("columns less one", crtc(1).into(), 79)?;
    equal(
        "cursor",
        (u16::from(crtc(0xe)) << 8 | u16::from(crtc(0xf))).into(),
        0,
    )?;
    for cell in 0..CELLS {
        equal(
            "a blank at start",
            mmio::read16(TEXT + 2 * cell).into(),
            0x0720,
        )?;
    }
    set_crtc(0xe, 0x07);
    set_crtc(0xf, 0xcf);
    equal("cursor, high", crtc(0xe).into(), 0x07)?;
    equal("cursor, low", crtc(0xf).into(), 0xcf)?;
    // Timing is protected until somebody says otherwise.
    set_crtc(1, 39);
    equal("columns less one", crtc(1).into(), 79)?;

    // Reading the status makes the next write an index.
    let _ = in8(STATUS);
    out8(ATTRIBUTE, 0x33);
    out8(ATTRIBUTE, 0x05);
    out8(ATTRIBUTE, 0x33);
    equal("panning", in8(ATTRIBUTE_READ).into(), 5)?;
    let _ = in8(STATUS);
    out8(ATTRIBUTE, 0x20);
    let _ = in8(STATUS);

    for _ in 0..3 {
        that(
            "the retrace does not begin",
            cpu::poll(|| in8(STATUS) & RETRACE != 0),
        )?;
        that(
            "the retrace does not end",
            cpu::poll(|| in8(STATUS) & RETRACE == 0),
        )?;
    }

    for window in [GRAPHICS, TEXT] {
        for at in (0..0x8000).step_by(8) {
            mmio::write64(window + at, !at);
        }
        for at in (0..0x8000).step_by(8) {
            equal("memory of the screen", mmio::read64(window + at), !at)?;
        }
    }
    Ok(())
}
