//! Not a test by itself: writes `SCREEN UP` on the text screen, then each code that the keyboard sends, and where its cursor is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::port::{in8, out8, out16};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, guest, mmio, pic};

guest!(test);

const CRTC: u16 = 0x3d4;
const KEYBOARD: u16 = 0x60;
const KEYBOARD_STATUS: u16 = 0x64;
const OUTPUT_FULL: u8 = 1;
const KEYBOARD_IRQ: u8 = 1;

const COLUMNS: u64 = 80;
const TEXT: u64 = 0xb_8000;
/// Yellow on blue.
const TITLE: u8 = 0x1e;
const PLAIN: u8 = 0x07;
/// Codes are written from here on, and begin here again at the end of the row.
const CODES_ROW: u64 = 2;
/// A code takes two digits and a space.
const CODE_CELLS: u64 = 3;
const CODES: u64 = COLUMNS / CODE_CELLS;

fn put(cell: u64, text: &[u8], attribute: u8) {
    for (at, byte) in (TEXT + 2 * cell..).step_by(2).zip(text) {
        mmio::write16(at, u16::from_le_bytes([*byte, attribute]));
    }
}

fn set_cursor(cell: u64) {
    let [low, high] = (cell as u16).to_le_bytes();
    out16(CRTC, u16::from_le_bytes([0xe, high]));
    out16(CRTC, u16::from_le_bytes([0xf, low]));
}

fn hex(digit: u8) -> u8 {
    if digit < 10 {
        b'0' + digit
    } else {
        b'a' + digit - 10
    }
}

fn test() -> Outcome {
    apic::enable();
    apic::accept_pic();
    trap::end_by(EndOfInterrupt::Pic);
    pic::init(1 << KEYBOARD_IRQ);
    // A frame of line-drawing characters: its corners and a stretch of its upper side.
    put(0, &[0xda, 0xc4, 0xc4, 0xbf], PLAIN);
    put(6, b"SCREEN UP", TITLE);
    put(
        CODES_ROW * COLUMNS - COLUMNS,
        &[0xc0, 0xc4, 0xc4, 0xd9],
        PLAIN,
    );
    // Only now are keys wanted: what was typed before stays in the controller and comes first.
    out8(KEYBOARD_STATUS, 0xae);
    let mut count = 0;
    loop {
        let cell = CODES_ROW * COLUMNS + count % CODES * CODE_CELLS;
        set_cursor(cell);
        while in8(KEYBOARD_STATUS) & OUTPUT_FULL == 0 {
            cpu::sti_hlt_cli();
        }
        let code = in8(KEYBOARD);
        put(cell, &[hex(code >> 4), hex(code & 15)], PLAIN);
        count += 1;
    }
}
