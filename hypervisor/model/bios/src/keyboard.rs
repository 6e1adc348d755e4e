//! INT 09h and 16h: keys, in the ring of the BIOS data area. US layout.

use crate::devices::{DATA_READY, LINE_STATUS};
use crate::{Call, Pc};
use guest_boot::bios::{KEYS, Then, area};
use pc_map::ports;
use vcpu::Vcpu;
use x86::{Gpr, Rflags};

const COM1: u16 = *ports::COM1.start();
const INTERRUPT_ENABLE: u16 = COM1 + 1;

/// Characters of set 1's keys from 01h on: plain, then with Shift. Zero: no character.
const PLAIN: &[u8; 58] =
    b"\0\x1b1234567890-=\x08\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFTED: &[u8; 58] =
    b"\0\x1b!@#$%^&*()_+\x08\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

const RELEASED: u8 = 0x80;
/// The next code is one of the second set of keys.
const EXTENDED: u8 = 0xe0;
const ENTER: u8 = 0x1c;

/// Bits of the keyboard flags.
const SHIFT: u8 = 0b11;
const CTRL: u8 = 1 << 2;
const ALT: u8 = 1 << 3;
const CAPS_LOCK: u8 = 1 << 6;

/// IRQ 1: the code is in AL.
pub(super) fn take<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let code = call.low(Gpr::Rax);
    let key = code & !RELEASED;
    let is_released = code & RELEASED != 0;
    let flags = call.read_u8(area::KEYBOARD_FLAGS);
    let held = match key {
        0x2a => 1 << 1,
        0x36 => 1 << 0,
        0x1d => CTRL,
        0x38 => ALT,
        _ => 0,
    };
    let flags = match (is_released, key) {
        (true, _) => flags & !held,
        (false, 0x3a) => flags ^ CAPS_LOCK,
        (false, _) => flags | held,
    };
    call.write(area::KEYBOARD_FLAGS, &[flags]);
    if code != EXTENDED && !is_released && held == 0 && key != 0x3a {
        store(call, key, character(key, flags));
    }
    Then::Return
}

fn character(key: u8, flags: u8) -> u8 {
    let at = usize::from(key);
    let plain = PLAIN.get(at).copied().unwrap_or(0);
    let shifted = SHIFTED.get(at).copied().unwrap_or(0);
    let is_shifted = (flags & SHIFT != 0) != (flags & CAPS_LOCK != 0 && plain.is_ascii_lowercase());
    if flags & ALT != 0 {
        0
    } else if flags & CTRL != 0 && plain.is_ascii_lowercase() {
        plain & 0x1f
    } else if is_shifted {
        shifted
    } else {
        plain
    }
}

/// The key of set 1 that makes this character; Enter and its like among them.
fn key_of(character: u8) -> u8 {
    let place = |table: &[u8; 58]| table.iter().position(|other| *other == character);
    let found = place(PLAIN).or_else(|| place(SHIFTED));
    found.map_or(0, |key| key as u8)
}

pub(super) fn answer<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    match call.high(Gpr::Rax) {
        0x00 | 0x10 => {
            take_from_serial(call);
            let Some(key) = first(call) else {
                return Then::Halt;
            };
            let head = call.read_u16(area::KEYBOARD_HEAD);
            call.write(area::KEYBOARD_HEAD, &after(head).to_le_bytes());
            call.set_word(Gpr::Rax, key);
        }
        0x01 | 0x11 => {
            take_from_serial(call);
            let key = first(call);
            call.set_flag(Rflags::ZERO_FLAG, key.is_none());
            if let Some(key) = key {
                call.set_word(Gpr::Rax, key);
            }
        }
        0x02 => {
            let flags = call.read_u8(area::KEYBOARD_FLAGS);
            call.set_low(Gpr::Rax, flags);
        }
        0x12 => {
            let flags = call.read_u8(area::KEYBOARD_FLAGS);
            call.set_word(Gpr::Rax, flags.into());
        }
        0x05 => {
            let [character, key] = call.word(Gpr::Rcx).to_le_bytes();
            let is_stored = store(call, key, character);
            call.set_low(Gpr::Rax, u8::from(!is_stored));
        }
        // How fast keys repeat: they do not.
        _ => {}
    }
    Then::Return
}

/// The offset behind this one; whatever the guest wrote there, it is one in the ring.
fn after(offset: u16) -> u16 {
    match offset.wrapping_add(2) {
        next if KEYS.contains(&next) && next % 2 == 0 => next,
        _ => KEYS.start,
    }
}

fn place(offset: u16) -> addr::Gpa {
    // Segment 40h.
    area::START.wrapping_add(offset.into())
}

/// The key that has waited longest: its code above its character.
fn first<V: Vcpu, P: Pc>(call: &Call<'_, V, P>) -> Option<u16> {
    let head = call.read_u16(area::KEYBOARD_HEAD);
    let is_empty = head == call.read_u16(area::KEYBOARD_TAIL);
    (!is_empty).then(|| call.read_u16(place(head)))
}

/// Puts a key last in the ring, if there is room.
fn store<V: Vcpu, P: Pc>(call: &Call<'_, V, P>, key: u8, character: u8) -> bool {
    let tail = call.read_u16(area::KEYBOARD_TAIL);
    let next = after(tail);
    if next == call.read_u16(area::KEYBOARD_HEAD) {
        return false;
    }
    call.write(place(tail), &[character, key]);
    call.write(area::KEYBOARD_TAIL, &next.to_le_bytes());
    true
}

/// Takes what the operator has typed on COM1 as a key, as long as the guest does not use the port
/// itself.
fn take_from_serial<V: Vcpu, P: Pc>(call: &Call<'_, V, P>) {
    if call.pc.has_serial_console()
        && call.input(INTERRUPT_ENABLE) == 0
        && call.input(COM1 + LINE_STATUS) & DATA_READY != 0
    {
        let character = match call.input(COM1) {
            b'\n' => b'\r',
            // Terminals have Delete where PCs have Backspace.
            0x7f => 8,
            character => character,
        };
        let key = match character {
            b'\r' => ENTER,
            character => key_of(character),
        };
        store(call, key, character);
    }
}
