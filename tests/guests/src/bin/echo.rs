//! Not a test by itself: says `echo NAME up`, ticks now and then, and answers each line typed with `heard LINE`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Outcome, cpu, guest, println, serial};

guest!(test);

const TICK: u64 = 4_000_000_000;
const LINE_BYTES: usize = 64;

fn test() -> Outcome {
    println!("echo up");
    let mut line = [0u8; LINE_BYTES];
    let mut len = 0;
    let mut next = cpu::rdtsc() + TICK;
    let mut ticks = 0u32;
    loop {
        match serial::receive() {
            Some(b'\r' | b'\n') => {
                let text = core::str::from_utf8(&line[..len]).unwrap_or("?");
                println!("heard {text}");
                if text == "quit" {
                    return Ok(());
                }
                len = 0;
            }
            Some(byte) if len < LINE_BYTES => {
                line[len] = byte;
                len += 1;
            }
            Some(_) => {}
            None => cpu::pause(),
        }
        if cpu::rdtsc() > next {
            ticks += 1;
            println!("echo tick {ticks}");
            next = cpu::rdtsc() + TICK;
        }
    }
}
