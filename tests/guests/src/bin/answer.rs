//! Not a test by itself: sleeps until something is typed, and answers each line with `heard LINE`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::ioapic::{self, Trigger};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, guest, println, serial};

guest!(test);

const VECTOR: u8 = 0x52;
/// COM1's.
const PIN: u8 = 4;
const LINE_BYTES: usize = 64;

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    ioapic::route(PIN, VECTOR, Trigger::Edge);
    serial::interrupt_on_receive();
    println!("answer up");
    let mut line = [0u8; LINE_BYTES];
    let mut len = 0;
    loop {
        match serial::receive() {
            Some(b'\r' | b'\n') => {
                println!(
                    "heard {}",
                    core::str::from_utf8(&line[..len]).unwrap_or("?")
                );
                len = 0;
            }
            Some(byte) if len < LINE_BYTES => {
                line[len] = byte;
                len += 1;
            }
            Some(_) => {}
            None => cpu::sti_hlt_cli(),
        }
    }
}
