//! INT 10h: the screen, in its one mode: 80 by 25 characters in colour, one page.

use crate::text::{COLUMNS, PLAIN, Place, ROWS, Window};
use crate::{Call, Pc};
use guest_boot::bios::{Then, area};
use vcpu::Vcpu;
use x86::{Gpr, SegmentRegister};

/// The mode there is.
const TEXT_80_BY_25: u8 = 3;
/// In AL of the function that sets a mode: leave what is on the screen.
const KEEPS_SCREEN: u8 = 0x80;
const CURSOR_START: u8 = 0x0a;
const CURSOR_END: u8 = 0x0b;
/// Lines of a character.
const CHARACTER_HEIGHT: u16 = 16;
/// A VGA with a colour screen.
const VGA_COLOUR: u16 = 0x0008;
/// So many characters of a string are written at a time: each may scroll the screen and print a line.
const STRING_PIECE: u16 = 64;

pub(super) fn answer<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let ax = call.word(Gpr::Rax);
    let [al, ah] = ax.to_le_bytes();
    match ah {
        0x00 => set_mode(call, al),
        0x01 => set_shape(call),
        0x02 => move_cursor(call),
        0x03 => {
            let shape = call.read_u16(area::CURSOR_SHAPE);
            let place = call.cursor();
            call.set_word(Gpr::Rcx, shape);
            let place = u16::from(place.row) << 8 | u16::from(place.column);
            call.set_word(Gpr::Rdx, place);
        }
        0x06 | 0x07 => scroll(call, ah == 0x07, al),
        0x08 => {
            let cell = call.cell(call.cursor());
            call.set_word(Gpr::Rax, u16::from_le_bytes(cell));
        }
        0x09 => put(call, al, Some(call.low(Gpr::Rbx))),
        0x0a => put(call, al, None),
        0x0e => call.type_out(al, None),
        0x0f => {
            call.set_word(Gpr::Rax, u16::from(COLUMNS) << 8 | u16::from(TEXT_80_BY_25));
            call.set_high(Gpr::Rbx, 0);
        }
        // Where its font is: nowhere; how high, and the last row.
        0x11 if al == 0x30 => {
            call.set_word(Gpr::Rcx, CHARACTER_HEIGHT);
            call.set_low(Gpr::Rdx, ROWS - 1);
        }
        // Colour, 256 KiB; features and switches.
        0x12 if call.low(Gpr::Rbx) == 0x10 => {
            call.set_word(Gpr::Rbx, 0x0003);
            call.set_word(Gpr::Rcx, 0x0009);
        }
        0x13 => return string(call, al),
        0x1a if al == 0 => {
            call.set_low(Gpr::Rax, 0x1a);
            call.set_word(Gpr::Rbx, VGA_COLOUR);
        }
        // No VESA: AL other than 4Fh.
        0x4f => call.set_word(Gpr::Rax, 0),
        // Pages, palettes, fonts, points: there is one page, and the rest changes nothing that is kept.
        _ => {}
    }
    Then::Return
}

/// Whatever mode is asked for, this one it is: who wants another asks which it has become.
fn set_mode<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, mode: u8) {
    if mode & KEEPS_SCREEN == 0 {
        call.scroll(Window::whole(), ROWS.into(), PLAIN);
    }
    call.write(area::VIDEO_MODE, &[TEXT_80_BY_25]);
    call.set_cursor(Place::new(0, 0));
    call.set_low(Gpr::Rax, 0x30);
}

fn set_shape<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) {
    let shape = call.word(Gpr::Rcx);
    let [end, start] = shape.to_le_bytes();
    call.write(area::CURSOR_SHAPE, &shape.to_le_bytes());
    // The reference's shapes are for characters of 8 lines; hidden stays hidden.
    let hidden = start & 0x20;
    let taller = |line: u8| match line & 0x1f {
        line @ 0..=7 => line * 2 + 1,
        line => line,
    };
    call.set_crtc(CURSOR_START, taller(start) | hidden);
    call.set_crtc(CURSOR_END, taller(end));
}

fn move_cursor<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) {
    let place = Place::new(call.high(Gpr::Rdx), call.low(Gpr::Rdx));
    let before = call.cursor();
    call.set_cursor(place);
    // On a serial console a line begins where one begins on the screen; nothing finer, as lines scroll away there.
    if place.row != before.row {
        call.type_on_serial(b'\r');
        call.type_on_serial(b'\n');
    }
}

fn scroll<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, is_down: bool, lines: u8) {
    let corner = |reg| Place::new(call.high(reg), call.low(reg));
    let window = Window {
        first: corner(Gpr::Rcx),
        last: corner(Gpr::Rdx),
    };
    // 0 is all of them.
    let lines = match i16::from(lines) {
        0 => ROWS.into(),
        lines => lines,
    };
    let lines = if is_down { -lines } else { lines };
    call.scroll(window, lines, call.high(Gpr::Rbx));
}

/// A character CX times from the cursor on, which stays.
fn put<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, character: u8, colours: Option<u8>) {
    let cursor = call.cursor();
    let start = u16::from(cursor.row) * u16::from(COLUMNS) + u16::from(cursor.column);
    let end = u16::from(ROWS) * u16::from(COLUMNS);
    let count = call.word(Gpr::Rcx).min(end - start);
    for number in start..start + count {
        let columns = u16::from(COLUMNS);
        // Both are less than 80.
        let place = Place::new((number / columns) as u8, (number % columns) as u8);
        call.set_cell(place, character, colours);
    }
}

/// CX characters from ES:BP to row DH, column DL, with colours BL or each with its own: a piece, behind which the stub asks again.
fn string<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, how: u8) -> Then {
    let (moves_cursor, has_colours) = (how & 1 != 0, how & 2 != 0);
    let count = call.word(Gpr::Rcx);
    let done = call.read_u16(area::STRING_DONE);
    if done == 0 {
        call.write(area::STRING_CURSOR, &call.cursor().to_bytes());
        move_cursor(call);
    }
    let character_bytes = if has_colours { 2 } else { 1 };
    let start = call.word(Gpr::Rbp);
    let mut offset = start.wrapping_add(done.wrapping_mul(character_bytes));
    let mut next = || {
        let byte = call.read_u8(call.far(SegmentRegister::Es, offset));
        offset = offset.wrapping_add(1);
        byte
    };
    let plain = call.low(Gpr::Rbx);
    let end = done.saturating_add(STRING_PIECE).min(count);
    for _ in done..end {
        let character = next();
        let colours = if has_colours { next() } else { plain };
        call.type_out(character, Some(colours));
    }
    if end < count {
        call.write(area::STRING_DONE, &end.to_le_bytes());
        return Then::Poll;
    }
    call.write(area::STRING_DONE, &[0; 2]);
    if !moves_cursor {
        let before = call.read_u16(area::STRING_CURSOR);
        call.set_cursor(Place::from_bytes(before.to_le_bytes()));
    }
    Then::Return
}
