//! Not a test by itself: heeds the power button as a system does, by the SCI, and switches itself off. With an `i` typed before, it hears
//! the button and stays on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU16, Ordering::Relaxed};
use test_guests::ioapic::{self, Trigger};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Fail, Outcome, apic, cpu, equal, guest, port, println, serial};

guest!(test);

/// The PM1a blocks, as FADT has them. (ACPI 6.5 4.8.3)
const PM1_STATUS: u16 = 0x600;
const PM1_ENABLE: u16 = 0x602;
const PM1_CONTROL: u16 = 0x604;
/// PWRBTN_STS and PWRBTN_EN.
const POWER_BUTTON: u16 = 1 << 8;
const SLEEP_ENABLE: u16 = 1 << 13;
/// SLP_TYP of S5, as the DSDT has it.
const SOFT_OFF: u16 = 5 << 10;

const SCI_PIN: u8 = 9;
const SCI: u8 = 0x59;
const SERIAL_PIN: u8 = 4;
const SERIAL: u8 = 0x54;

/// What PM1 status said when the SCI came.
static SEEN: AtomicU16 = AtomicU16::new(0);

/// Takes the reason for the SCI away, or its level would interrupt again at once.
fn hook(vector: u8) {
    if vector == SCI {
        let status = port::in16(PM1_STATUS);
        SEEN.fetch_or(status, Relaxed);
        port::out16(PM1_STATUS, status);
    }
}

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    trap::set_hook(hook);
    ioapic::route(SCI_PIN, SCI, Trigger::Level);
    ioapic::route(SERIAL_PIN, SERIAL, Trigger::Edge);
    serial::interrupt_on_receive();
    equal("PM1 enable at start", port::in16(PM1_ENABLE).into(), 0)?;
    port::out16(PM1_ENABLE, POWER_BUTTON);
    println!("awaits the power button");
    let mut is_ignored = false;
    loop {
        cpu::sti_hlt_cli();
        while let Some(byte) = serial::receive() {
            if byte == b'i' {
                is_ignored = true;
                println!("will ignore the power button");
            }
        }
        let seen = SEEN.swap(0, Relaxed);
        if seen & POWER_BUTTON == 0 {
            continue;
        }
        let rest = port::in16(PM1_STATUS) & POWER_BUTTON;
        equal("PWRBTN_STS after it was cleared", rest.into(), 0)?;
        if is_ignored {
            println!("ignores the power button");
            continue;
        }
        println!("heard the power button");
        port::out16(PM1_CONTROL, SOFT_OFF | SLEEP_ENABLE);
        let _ = cpu::poll(|| false);
        return Err(Fail::new("still running"));
    }
}
