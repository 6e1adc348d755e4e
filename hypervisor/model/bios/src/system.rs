//! INT 11h, 12h and 15h: what the machine has, above all memory.

use crate::{Call, Pc};
use guest_boot::bios::{self, Then, area};
use guest_memory::GuestMemory;
use vcpu::Vcpu;
use x86::{Gpr, SegmentRegister};

/// "SMAP", in EDX and EAX of E820.
const SIGNATURE: u32 = 0x534d_4150;
/// An entry of the map.
const ENTRY_BYTES: u32 = 20;
/// AH: no such service.
const UNSUPPORTED: u8 = 0x86;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// INT 15h, AH=87h moves at most this many words.
const WORDS_MOST: u16 = 0x8000;
/// So much is copied at once.
const PIECE_BYTES: usize = 512;

pub(super) fn equipment<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let word = call.read_u16(area::EQUIPMENT);
    call.set_word(Gpr::Rax, word);
    Then::Return
}

pub(super) fn memory_size<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let kib = call.read_u16(area::MEMORY_KIB);
    call.set_word(Gpr::Rax, kib);
    Then::Return
}

pub(super) fn answer<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let is_done = match (call.high(Gpr::Rax), call.low(Gpr::Rax)) {
        (0x24, function) => a20(call, function),
        (0x86, _) => return wait(call),
        (0x87, _) => {
            let is_done = move_block(call);
            call.set_high(Gpr::Rax, if is_done { 0 } else { 1 });
            call.set_failed(!is_done);
            return Then::Return;
        }
        (0x88, _) => {
            let kib = extended_bytes(call) / KIB;
            call.set_word(Gpr::Rax, kib.min(0xffff) as u16);
            true
        }
        (0x8a, _) => {
            let kib = extended_bytes(call) / KIB;
            call.set_word(Gpr::Rax, kib as u16);
            call.set_word(Gpr::Rdx, (kib >> 16) as u16);
            true
        }
        (0xc0, _) => {
            let es = bios::SEGMENT;
            set_es(call, es);
            call.set_word(Gpr::Rbx, bios::CONFIGURATION);
            call.set_high(Gpr::Rax, 0);
            true
        }
        (0xe8, 0x01) => memory_in_two(call),
        (0xe8, 0x20) => return map_entry(call),
        _ => false,
    };
    if !is_done {
        call.set_high(Gpr::Rax, UNSUPPORTED);
    }
    call.set_failed(!is_done);
    Then::Return
}

/// Memory from 1 MiB to the hole.
fn extended_bytes<V: Vcpu, P: Pc>(call: &Call<'_, V, P>) -> u64 {
    call.pc.layout().below_hole_end().raw().saturating_sub(MIB)
}

/// It is open for good: 2400h to close it fails, the others tell so.
fn a20<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, function: u8) -> bool {
    match function {
        1 => call.set_high(Gpr::Rax, 0),
        2 => call.set_word(Gpr::Rax, 1),
        3 => {
            call.set_high(Gpr::Rax, 0);
            call.set_word(Gpr::Rbx, 3);
        }
        _ => return false,
    }
    true
}

/// KiB up to 16 MiB, and 64 KiB blocks above.
fn memory_in_two<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> bool {
    let extended = extended_bytes(call);
    let below_16m = extended.min(15 * MIB);
    let kib = (below_16m / KIB) as u16;
    let blocks = ((extended - below_16m) / (64 * KIB)).min(0xffff) as u16;
    for (reg, value) in [
        (Gpr::Rax, kib),
        (Gpr::Rcx, kib),
        (Gpr::Rbx, blocks),
        (Gpr::Rdx, blocks),
    ] {
        call.set_word(reg, value);
    }
    true
}

/// One entry of the memory map: number EBX, to ES:DI. (ACPI 6.5 15.1)
fn map_entry<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let mut map = call.pc.layout().regions();
    let number = call.wide(Gpr::Rbx) as usize;
    let is_asked_well = call.wide(Gpr::Rdx) == SIGNATURE && call.wide(Gpr::Rcx) >= ENTRY_BYTES;
    let region = map.nth(number).filter(|_| is_asked_well);
    call.set_failed(region.is_none());
    let Some(region) = region else {
        call.set_high(Gpr::Rax, UNSUPPORTED);
        return Then::Return;
    };
    let mut entry = [0; ENTRY_BYTES as usize];
    let fields = region.range.start().raw().to_le_bytes().into_iter();
    let fields = fields
        .chain(region.range.len_bytes().to_le_bytes())
        .chain((region.kind as u32).to_le_bytes());
    for (to, from) in entry.iter_mut().zip(fields) {
        *to = from;
    }
    let at = call.far(SegmentRegister::Es, call.word(Gpr::Rdi));
    call.write(at, &entry);
    let next = map.next().map_or(0, |_| number as u32 + 1);
    call.set_wide(Gpr::Rax, SIGNATURE);
    call.set_wide(Gpr::Rbx, next);
    call.set_wide(Gpr::Rcx, ENTRY_BYTES);
    Then::Return
}

/// CX:DX microseconds: the stub asks again until they are over.
fn wait<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    // Modulo 2^32: more than an hour, and no wait is longer than half of it.
    let now = (call.pc.now().as_ns() / 1_000) as u32;
    if call.read_u8(area::WAIT_ACTIVE) & 1 == 0 {
        let wanted = u32::from(call.word(Gpr::Rcx)) << 16 | u32::from(call.word(Gpr::Rdx));
        let until = now.wrapping_add(wanted.min(u32::MAX / 2));
        call.write(area::WAIT_UNTIL, &until.to_le_bytes());
        call.write(area::WAIT_ACTIVE, &[1]);
        return Then::Poll;
    }
    let left = call.read_u32(area::WAIT_UNTIL).wrapping_sub(now);
    if left != 0 && left <= u32::MAX / 2 {
        return Then::Poll;
    }
    call.write(area::WAIT_ACTIVE, &[0]);
    call.set_failed(false);
    Then::Return
}

/// CX words from where the third descriptor of the table at ES:SI says to where the fourth says.
fn move_block<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> bool {
    let words = call.word(Gpr::Rcx);
    if words > WORDS_MOST {
        return false;
    }
    let table = call.far(SegmentRegister::Es, call.word(Gpr::Rsi));
    let base = |number: u64| {
        let at = table.wrapping_add(number * 8);
        let low = call.read_u32(at.wrapping_add(2)) & 0xff_ffff;
        let high = u32::from(call.read_u8(at.wrapping_add(7)));
        addr::Gpa::new(u64::from(high << 24 | low))
    };
    let (from, to) = (base(2), base(3));
    let mut piece = [0; PIECE_BYTES];
    let end = u64::from(words) * 2;
    let mut done = 0;
    while done < end {
        let len_bytes = (end - done).min(PIECE_BYTES as u64);
        let (piece, _) = piece.split_at_mut(len_bytes as usize);
        let ram = call.pc.ram();
        let is_read = ram.read(from.wrapping_add(done), piece).is_ok();
        if !is_read || ram.write(to.wrapping_add(done), piece).is_err() {
            return false;
        }
        done += len_bytes;
    }
    true
}

fn set_es<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>, selector: u16) {
    let mut state = vcpu::ArchState::after_reset();
    call.vcpu.save(&mut state);
    let es = SegmentRegister::Es.of_mut(&mut state.segment);
    es.selector = selector;
    es.base = u64::from(selector) << 4;
    call.vcpu.load(&state);
}
