//! The IOAPIC delivers levels: an UART that stays unanswered interrupts again after each EOI, until it is answered.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use test_guests::ioapic::{self, Trigger};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, port, serial, that};

guest!(test);

const VECTOR: u8 = 0x51;
const PIN: u8 = 4;
const THR_EMPTY_ENABLE: u8 = 1 << 1;
const UNANSWERED: u32 = 3;

static SEEN: AtomicU32 = AtomicU32::new(0);
static REMOTE_IRR_SEEN: AtomicBool = AtomicBool::new(true);
static IN_SERVICE_SEEN: AtomicBool = AtomicBool::new(true);

/// Leaves the UART unanswered a few times, then reads its identification, which takes the request back.
fn hook(vector: u8) {
    if vector != VECTOR {
        return;
    }
    REMOTE_IRR_SEEN.fetch_and(ioapic::entry(PIN) & ioapic::REMOTE_IRR != 0, Relaxed);
    IN_SERVICE_SEEN.fetch_and(apic::bit(apic::register::ISR, VECTOR), Relaxed);
    if SEEN.fetch_add(1, Relaxed) >= UNANSWERED {
        let _ = port::in8(serial::IIR);
    }
}

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    trap::set_hook(hook);
    ioapic::route(PIN, VECTOR, Trigger::Level);
    const OUT2: u8 = 1 << 3;
    port::out8(serial::COM1 + 4, OUT2);
    let _ = port::in8(serial::IIR);
    port::out8(serial::IER, THR_EMPTY_ENABLE);
    cpu::sti();
    let has_come = cpu::poll(|| SEEN.load(Relaxed) > UNANSWERED);
    for _ in 0..100_000 {
        cpu::pause();
    }
    cpu::cli();
    port::out8(serial::IER, 0);
    that("an unanswered level does not interrupt again", has_come)?;
    equal(
        "interrupts after the answer",
        SEEN.load(Relaxed).into(),
        u64::from(UNANSWERED) + 1,
    )?;
    that(
        "remote IRR is clear in the handler",
        REMOTE_IRR_SEEN.load(Relaxed),
    )?;
    that(
        "the in-service bit is clear in the handler",
        IN_SERVICE_SEEN.load(Relaxed),
    )?;
    equal(
        "remote IRR after EOI",
        u64::from(ioapic::entry(PIN) & ioapic::REMOTE_IRR),
        0,
    )?;

    // Pending while masked, delivered at unmask.
    SEEN.store(0, Relaxed);
    ioapic::mask(PIN);
    port::out8(serial::IER, THR_EMPTY_ENABLE);
    cpu::sti();
    for _ in 0..10_000 {
        cpu::pause();
    }
    let masked = SEEN.load(Relaxed);
    ioapic::route(PIN, VECTOR, Trigger::Level);
    let has_come = cpu::poll(|| SEEN.load(Relaxed) > 0);
    cpu::cli();
    port::out8(serial::IER, 0);
    equal("a masked level interrupts", masked.into(), 0)?;
    that("a level is forgotten under the mask", has_come)
}
