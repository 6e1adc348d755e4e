//! The second PS/2 port has a mouse: it is found, set up and turned into a wheel mouse, its bytes
//! raise IRQ 12 at both interrupt controllers, and the keyboard works beside it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use test_guests::i8042::{self, KEYBOARD_INTERRUPT, MOUSE_INTERRUPT, MOUSE_OFF, Port};
use test_guests::ioapic::{self, Trigger};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, pic, that};

guest!(test);

const KEYBOARD_IRQ: u8 = 1;
const MOUSE_IRQ: u8 = 12;
const KEYBOARD: u8 = 0x51;
const MOUSE: u8 = 0x5c;

const MOUSE_PORT_OFF: u8 = 0xa7;
const MOUSE_PORT_ON: u8 = 0xa8;
const TEST_MOUSE_PORT: u8 = 0xa9;
const AS_FROM_KEYBOARD: u8 = 0xd2;
const AS_FROM_MOUSE: u8 = 0xd3;

const RESET: u8 = 0xff;
const SET_DEFAULTS: u8 = 0xf6;
const DISABLE: u8 = 0xf5;
const ENABLE: u8 = 0xf4;
const SET_RATE: u8 = 0xf3;
const IDENTIFY: u8 = 0xf2;
const READ_DATA: u8 = 0xeb;
const SET_STREAM: u8 = 0xea;
const STATUS: u8 = 0xe9;
const SET_RESOLUTION: u8 = 0xe8;
const KEYBOARD_ECHO: u8 = 0xee;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;

/// After so long no further interrupt is on its way.
const SETTLE_TICKS: u64 = 300_000;

/// Bytes that came by interrupt that were not looked at yet.
static BYTES: [AtomicU8; 8] = [const { AtomicU8::new(0) }; 8];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Interrupts that found no byte of their port.
static STRAY: AtomicUsize = AtomicUsize::new(0);

/// Takes the byte that an interrupt is about.
fn hook(vector: u8) {
    let wanted = match vector {
        KEYBOARD => Port::Keyboard,
        MOUSE => Port::Mouse,
        _ if vector == pic::FIRST_VECTOR + MOUSE_IRQ => Port::Mouse,
        _ => return,
    };
    match i8042::take() {
        Some((port, byte)) if port == wanted => {
            if let Some(to) = BYTES.get(COUNT.fetch_add(1, SeqCst)) {
                to.store(byte, SeqCst);
            }
        }
        Some(_) | None => {
            STRAY.fetch_add(1, SeqCst);
        }
    }
}

/// Waits for these bytes by interrupt, and for no more.
fn interrupts(what: &'static str, bytes: &[u8]) -> Outcome {
    cpu::sti();
    let have_come = cpu::poll(|| COUNT.load(SeqCst) >= bytes.len());
    cpu::wait(SETTLE_TICKS);
    cpu::cli();
    let count = COUNT.swap(0, SeqCst);
    that(what, have_come)?;
    for (got, wanted) in BYTES.iter().zip(bytes) {
        equal(what, got.load(SeqCst).into(), (*wanted).into())?;
    }
    equal("interrupts", count as u64, bytes.len() as u64)?;
    equal("stray interrupts", STRAY.load(SeqCst) as u64, 0)
}

/// Sends the mouse a byte and polls for what it answers.
fn ask(what: &'static str, byte: u8, answer: &[u8]) -> Outcome {
    i8042::to_mouse(byte)?;
    i8042::expect(what, Port::Mouse, answer)
}

fn the_port() -> Outcome {
    i8042::command(TEST_MOUSE_PORT)?;
    i8042::expect("test of the mouse's port", Port::Keyboard, &[0])?;
    i8042::command(AS_FROM_MOUSE)?;
    i8042::data(0x5a)?;
    i8042::expect("loop through the mouse's port", Port::Mouse, &[0x5a])?;
    equal("an empty buffer", i8042::data_register().into(), 0x5a)?;
    i8042::command(MOUSE_PORT_OFF)?;
    let off = i8042::mode()?;
    i8042::command(MOUSE_PORT_ON)?;
    let on = i8042::mode()?;
    equal("mode, port off", (off & MOUSE_OFF).into(), MOUSE_OFF.into())?;
    equal("mode, port on", (on & MOUSE_OFF).into(), 0)
}

fn the_mouse() -> Outcome {
    ask("reset", RESET, &[ACK, SELF_TEST_PASSED, 0])?;
    ask("id", IDENTIFY, &[ACK, 0])?;
    ask("status", STATUS, &[ACK, 0, 2, 100])?;
    ask("no such command", 0xe5, &[RESEND])?;
    ask("data", READ_DATA, &[ACK, 0x08, 0, 0])?;
    for rate in [200, 100, 80] {
        ask("sample rate", SET_RATE, &[ACK])?;
        ask("sample rate", rate, &[ACK])?;
    }
    ask("id of a wheel mouse", IDENTIFY, &[ACK, 3])?;
    ask("data of a wheel mouse", READ_DATA, &[ACK, 0x08, 0, 0, 0])?;
    ask("defaults", SET_DEFAULTS, &[ACK])?;
    ask("resolution", SET_RESOLUTION, &[ACK])?;
    ask("resolution", 3, &[ACK])?;
    ask("stream mode", SET_STREAM, &[ACK])?;
    ask("enable", ENABLE, &[ACK])?;
    ask("status of an enabled mouse", STATUS, &[ACK, 0x20, 3, 100])?;
    ask("disable", DISABLE, &[ACK])
}

fn its_interrupt() -> Outcome {
    let mode = i8042::mode()?;
    i8042::set_mode((mode | MOUSE_INTERRUPT) & !KEYBOARD_INTERRUPT)?;
    apic::enable();
    trap::set_hook(hook);
    trap::end_by(EndOfInterrupt::LocalApic);
    ioapic::route(MOUSE_IRQ, MOUSE, Trigger::Edge);
    i8042::to_mouse(ENABLE)?;
    interrupts("no IRQ 12 for an ACK", &[ACK])?;
    i8042::to_mouse(STATUS)?;
    interrupts("an IRQ 12 for each byte", &[ACK, 0x20, 3, 100])?;

    // Where its interrupt is off, bytes wait to be polled.
    i8042::set_mode(mode & !(MOUSE_INTERRUPT | KEYBOARD_INTERRUPT))?;
    i8042::to_mouse(DISABLE)?;
    interrupts("IRQ 12 though it is off", &[])?;
    i8042::expect("an ACK to poll", Port::Mouse, &[ACK])
}

fn the_keyboard_beside() -> Outcome {
    let mode = i8042::mode()?;
    ioapic::route(KEYBOARD_IRQ, KEYBOARD, Trigger::Edge);
    i8042::set_mode(mode | MOUSE_INTERRUPT | KEYBOARD_INTERRUPT)?;
    i8042::data(KEYBOARD_ECHO)?;
    interrupts("no echo of the keyboard", &[KEYBOARD_ECHO])?;
    equal("IRQ 1", trap::count(KEYBOARD).into(), 1)?;
    i8042::to_mouse(IDENTIFY)?;
    interrupts("no id of the mouse", &[ACK, 3])?;
    // Both at once: the keyboard's byte was first, then they take turns.
    i8042::data(KEYBOARD_ECHO)?;
    i8042::to_mouse(IDENTIFY)?;
    interrupts("bytes of both", &[KEYBOARD_ECHO, ACK, 3])?;
    equal("IRQ 1", trap::count(KEYBOARD).into(), 2)?;
    i8042::command(AS_FROM_KEYBOARD)?;
    i8042::data(0x1e)?;
    interrupts("a key", &[0x1e])?;
    equal("IRQ 1", trap::count(KEYBOARD).into(), 3)?;
    ioapic::mask(KEYBOARD_IRQ);
    ioapic::mask(MOUSE_IRQ);
    i8042::set_mode((mode | MOUSE_INTERRUPT) & !KEYBOARD_INTERRUPT)
}

fn its_interrupt_by_the_pic() -> Outcome {
    const CASCADE: u8 = 1 << 2;
    apic::accept_pic();
    trap::end_by(EndOfInterrupt::Pic);
    pic::init(CASCADE);
    pic::unmask_slave(1 << (MOUSE_IRQ - 8));
    i8042::to_mouse(IDENTIFY)?;
    interrupts("no IRQ 12 by the PIC", &[ACK, 3])?;
    pic::mask_all();
    Ok(())
}

fn test() -> Outcome {
    while i8042::take().is_some() {}
    the_port()?;
    the_mouse()?;
    its_interrupt()?;
    the_keyboard_beside()?;
    its_interrupt_by_the_pic()
}
