//! Not a test by itself: keeps its hypervisor busy with exits, interrupts to itself and a timer that is set again and again.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Outcome, apic, cpu, guest, port, println, trap};

guest!(test);

const VECTOR: u8 = 0x51;
const PIT_COMMAND: u16 = 0x43;
const PIT_DATA: u16 = 0x40;
/// Channel 0, low and high byte, one shot.
const ONE_SHOT: u8 = 0x30;

fn test() -> Outcome {
    apic::enable();
    trap::end_by(trap::EndOfInterrupt::LocalApic);
    cpu::sti();
    println!("storm up");
    loop {
        let _ = cpu::cpuid(0, 0);
        apic::send_self(VECTOR);
        port::out8(PIT_COMMAND, ONE_SHOT);
        port::out8(PIT_DATA, 20);
        port::out8(PIT_DATA, 0);
    }
}
