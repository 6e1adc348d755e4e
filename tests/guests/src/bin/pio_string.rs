//! INS and OUTS: every width, with and without REP, both directions, many elements, and a page fault in the middle.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::paging::{self, PAGE_BYTES};
use test_guests::{Outcome, catch, equal, guest, mmio, port, serial, that};

guest!(test);

const UNCLAIMED: u16 = 0x1234;
/// Memory of ours that the program does not use, on a page that can be taken away.
const BUFFER: u64 = 4 * PAGE_BYTES;

/// Registers after a string instruction.
#[derive(Clone, Copy)]
struct After {
    count: u64,
    index: u64,
}

macro_rules! string_in {
    ($name:ident, $code:literal) => {
        fn $name(at: u64, count: u64) -> After {
            let (mut count, mut index) = (count, at);
            // SAFETY: the bytes written lie in the buffer, which no Rust value occupies.
            unsafe { asm!($code, "cld", in("dx") UNCLAIMED, inout("rcx") count, inout("rdi") index) };
            After { count, index }
        }
    };
}

string_in!(ins8, "insb");
string_in!(rep_ins8, "rep insb");
string_in!(rep_ins16, "rep insw");
string_in!(rep_ins32, "rep insd");
string_in!(rep_ins8_down, "std; rep insb");

fn rep_outs8(at: u64, count: u64) -> After {
    let (mut count, mut index) = (count, at);
    // SAFETY: only the buffer is read; the scratch register takes any byte.
    unsafe { asm!("rep outsb", in("dx") serial::SCRATCH, inout("rcx") count, inout("rsi") index) };
    After { count, index }
}

fn clear(len_bytes: u64) {
    for at in 0..len_bytes {
        mmio::write8(BUFFER + at, 0);
    }
}

/// Every byte of the buffer's first `len_bytes` is 0xFF and the next is not.
fn filled(what: &'static str, len_bytes: u64) -> Outcome {
    for at in 0..len_bytes {
        equal(what, mmio::read8(BUFFER + at).into(), 0xff)?;
    }
    equal(what, mmio::read8(BUFFER + len_bytes).into(), 0)
}

fn test() -> Outcome {
    clear(32);
    let after = ins8(BUFFER, 5);
    filled("INSB", 1)?;
    equal("INSB moves RDI", after.index, BUFFER + 1)?;
    equal("INSB leaves RCX", after.count, 5)?;

    for (what, repeat, width) in [
        ("REP INSB", rep_ins8 as fn(u64, u64) -> After, 1),
        ("REP INSW", rep_ins16, 2),
        ("REP INSD", rep_ins32, 4),
    ] {
        clear(64);
        let after = repeat(BUFFER, 7);
        filled(what, 7 * width)?;
        equal(what, after.index, BUFFER + 7 * width)?;
        equal(what, after.count, 0)?;
        clear(1);
        let after = repeat(BUFFER, 0);
        filled("REP with RCX 0", 0)?;
        equal("REP with RCX 0 moves RDI", after.index, BUFFER)?;
    }

    clear(64);
    let after = rep_ins8_down(BUFFER + 9, 10);
    filled("REP INSB downwards", 10)?;
    equal(
        "REP INSB downwards moves RDI",
        after.index,
        BUFFER.wrapping_sub(1),
    )?;

    // More than any exit answers at once.
    clear(20_001);
    let after = rep_ins8(BUFFER, 20_000);
    equal("a long REP INSB ends early", after.count, 0)?;
    filled("a long REP INSB", 20_000)?;

    for (at, byte) in (0..).zip(b"string") {
        mmio::write8(BUFFER + at, *byte);
    }
    let after = rep_outs8(BUFFER, 6);
    equal("REP OUTSB moves RSI", after.index, BUFFER + 6)?;
    equal(
        "REP OUTSB's last byte",
        port::in8(serial::SCRATCH).into(),
        b'g'.into(),
    )?;
    fault_in_the_middle()
}

/// The elements before the fault are done, and the registers say so.
fn fault_in_the_middle() -> Outcome {
    let end = BUFFER + PAGE_BYTES;
    mmio::write8(end - 3, 0);
    paging::unmap(end);
    let mut left: u64 = 8;
    let mut at = end - 3;
    let trap = catch(|| {
        // Registers are lost with the fault, so one element at a time is asked for first: all but the last succeed.
        while left > 0 {
            at = ins8(at, 0).index;
            left -= 1;
        }
    });
    let trap = trap.ok_or(test_guests::Fail::new(
        "INSB to an absent page does not fault",
    ))?;
    equal("vector of INSB to an absent page", trap.vector.into(), 14)?;
    equal("error code (write)", trap.error, 2)?;
    equal("CR2", trap.cr2, end)?;
    equal(
        "the last byte before the absent page",
        mmio::read8(end - 1).into(),
        0xff,
    )?;
    mmio::write8(end - 1, 0);
    let trap = catch(|| test_guests::discard(rep_ins8(end - 3, 8)));
    paging::map(end);
    that(
        "REP INSB into an absent page does not fault",
        trap.is_some_and(|t| t.vector == 14 && t.cr2 == end),
    )?;
    equal(
        "REP INSB did not get to the absent page",
        mmio::read8(end - 1).into(),
        0xff,
    )
}
