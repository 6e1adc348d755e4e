//! XSETBV refuses what the manual refuses, keeps what it had, and takes what is good.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::cpu::{CR4_OSXSAVE, cpuid, read_cr4, write_cr4};
use test_guests::{Outcome, Trap, catch, equal, guest, println, that};

guest!(test);

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;

fn xsetbv(index: u32, value: u64) -> Option<Trap> {
    catch(|| {
        // SAFETY: no Rust code of this program uses vector registers.
        unsafe {
            asm!("xsetbv", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32)
        }
    })
}

fn xgetbv() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high) };
    u64::from(high) << 32 | u64::from(low)
}

fn test() -> Outcome {
    if cpuid(1, 0).ecx & (1 << 26) == 0 {
        println!("note xsetbv_bad: no XSAVE on this CPU");
        return Ok(());
    }
    write_cr4(read_cr4() & !CR4_OSXSAVE);
    let trap = xsetbv(0, X87);
    equal(
        "XSETBV without CR4.OSXSAVE",
        trap.map_or(0, |t| t.vector.into()),
        6,
    )?;
    write_cr4(read_cr4() | CR4_OSXSAVE);
    equal("XCR0 at start", xgetbv(), X87)?;

    let refuses = |index, value, what| {
        let trap = xsetbv(index, value);
        equal(what, trap.map_or(0, |t| u64::from(t.vector)), 13)?;
        equal("a refused XSETBV changed XCR0", xgetbv(), X87)
    };
    refuses(0, 0, "XCR0 without x87")?;
    refuses(0, SSE, "XCR0 with SSE but no x87")?;
    refuses(0, X87 | 1 << 62, "XCR0 with an unknown bit")?;
    refuses(7, X87, "XCR7")?;
    if xsetbv(0, X87 | AVX).is_none() {
        println!("note xsetbv_bad: AVX without SSE was taken, as some emulators do");
    }

    let offered = u64::from(cpuid(0xd, 0).eax) & (X87 | SSE | AVX);
    that("SSE is not offered in leaf 0xd", offered & SSE != 0)?;
    that("a good XCR0 was refused", xsetbv(0, offered).is_none())?;
    equal("XCR0", xgetbv(), offered)
}
