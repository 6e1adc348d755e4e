//! The operator's devices: COM1, the PS/2 keyboard, the screen. All polled; nothing here waits, except where it says so.

extern crate alloc;

mod picture;
mod serial;

use core::sync::atomic::{AtomicBool, Ordering};

use cpu::IoPorts;
use host::Terminal;
use keyboard::Keyboard;
use spin::Mutex;

use picture::Picture;
use serial::SerialPort;

// SAFETY: the PC's COM1; a UART moves no memory.
const COM1: IoPorts =
    unsafe { IoPorts::claim(0x3f8, serial::PORT_COUNT) }.expect("below the last port");
// SAFETY: the keyboard controller's data port; it is only read. Its status port lies apart: those
// between are others'.
const KEYBOARD_DATA: IoPorts = unsafe { IoPorts::claim(0x60, 1) }.expect("below the last port");
// SAFETY: the keyboard controller's status port; it is only read.
const KEYBOARD_STATUS: IoPorts = unsafe { IoPorts::claim(0x64, 1) }.expect("below the last port");
/// Cells drawn per call of [`screen_draw`]: some 20 µs of work.
const CELLS_PER_DRAW: usize = 16;
/// Number of times [`write_all`] polls the transmitter before it gives up a byte.
const PATIENCE: u32 = 1_000_000;

static SERIAL: Mutex<Option<SerialPort<IoPorts>>> = Mutex::new(None);
static KEYBOARD: Mutex<Option<Keyboard<IoPorts>>> = Mutex::new(None);
static SCREEN: Mutex<Option<screen::Console<Picture>>> = Mutex::new(None);

/// Prepares COM1, 115200 8N1. Returns whether there is one.
pub(crate) fn start_serial() -> bool {
    let port = SerialPort::find(COM1);
    let is_there = port.is_some();
    *SERIAL.lock() = port;
    HAS_SERIAL.store(is_there, Ordering::Relaxed);
    is_there
}

/// Prepares the keyboard. Returns whether there is a controller for one.
pub(crate) fn start_keyboard() -> bool {
    let keyboard = Keyboard::find(KEYBOARD_DATA, KEYBOARD_STATUS);
    let is_there = keyboard.is_some();
    *KEYBOARD.lock() = keyboard;
    is_there
}

/// Takes the screen. The heap must be there.
pub(crate) fn start_screen(framebuffer: &handoff::Framebuffer) {
    if let Some(picture) = picture::map(framebuffer) {
        *SCREEN.lock() = Some(screen::Console::new(picture));
        HAS_SCREEN.store(true, Ordering::Relaxed);
    }
}

/// Gives bytes to COM1 as far as it takes them at once; all of them vanish where there is none.
pub(crate) fn serial_write(bytes: &[u8]) -> usize {
    if !SERIAL_IS_ON.load(Ordering::Relaxed) {
        return bytes.len();
    }
    SERIAL
        .lock()
        .as_mut()
        .map_or(bytes.len(), |port| port.send(bytes))
}

/// Returns the operator's terminals: those that are there and wanted. A machine without any has a serial port that nobody hears.
pub(crate) fn terminals() -> &'static [Terminal] {
    let is_serial = HAS_SERIAL.load(Ordering::Relaxed) && SERIAL_IS_ON.load(Ordering::Relaxed);
    match (is_serial, is_screen()) {
        (_, false) => &[Terminal::Serial],
        (false, true) => &[Terminal::Screen],
        (true, true) => &[Terminal::Serial, Terminal::Screen],
    }
}

/// Returns whether the screen is there and wanted.
fn is_screen() -> bool {
    HAS_SCREEN.load(Ordering::Relaxed) && SCREEN_IS_ON.load(Ordering::Relaxed)
}

/// Takes a byte that came in at COM1, or was typed at the keyboard. The keyboard belongs to the screen; where there is none, to
/// the serial port, so that it types something that can be seen.
pub(crate) fn read(terminal: Terminal) -> Option<u8> {
    if terminal == Terminal::Serial {
        if SERIAL_IS_ON.load(Ordering::Relaxed)
            && let Some(port) = SERIAL.lock().as_mut()
            && let Some(byte) = port.receive()
        {
            return Some(byte);
        }
        if is_screen() {
            return None;
        }
    }
    if !SCREEN_IS_ON.load(Ordering::Relaxed) {
        return None;
    }
    KEYBOARD.lock().as_mut().and_then(Keyboard::read)
}

/// Gives text to the screen; nothing is drawn yet.
pub(crate) fn screen_write(bytes: &[u8]) {
    if !SCREEN_IS_ON.load(Ordering::Relaxed) {
        return;
    }
    if let Some(console) = SCREEN.lock().as_mut() {
        console.write(bytes);
    }
}

/// Writes the screen's status line; nothing is drawn yet.
pub(crate) fn screen_status(text: &str) {
    if !SCREEN_IS_ON.load(Ordering::Relaxed) {
        return;
    }
    if let Some(console) = SCREEN.lock().as_mut() {
        console.set_status(text);
    }
}

/// Draws a bounded part of what changed; returns whether more is left.
pub(crate) fn screen_draw() -> bool {
    SCREEN
        .lock()
        .as_mut()
        .is_some_and(|console| console.draw(CELLS_PER_DRAW))
}

/// Switches consoles off that the operator does not want; an epitaph is told on both all the same.
///
/// A console that is off is silent, and deaf, too: the keyboard belongs to the screen.
pub fn choose_consoles(serial: bool, screen: bool) {
    SERIAL_IS_ON.store(serial, Ordering::Relaxed);
    SCREEN_IS_ON.store(screen, Ordering::Relaxed);
}

/// True if the device is there; read without its lock.
static HAS_SERIAL: AtomicBool = AtomicBool::new(false);
static HAS_SCREEN: AtomicBool = AtomicBool::new(false);

/// True if output to the device is wanted.
static SERIAL_IS_ON: AtomicBool = AtomicBool::new(true);
static SCREEN_IS_ON: AtomicBool = AtomicBool::new(true);

/// True if [`screen_draw`] is called regularly.
static DRAWS_LAZILY: AtomicBool = AtomicBool::new(false);

/// Sets whether [`screen_draw`] is called regularly, so that [`write_all`] need not draw.
pub(crate) fn draw_lazily(is_lazy: bool) {
    DRAWS_LAZILY.store(is_lazy, Ordering::Relaxed);
}

/// Writes to serial and screen, and waits until it is out. For start-up, for messages, and for the end.
pub fn write_all(bytes: &[u8]) {
    let mut rest = bytes;
    let mut tries = 0;
    while !rest.is_empty() && tries < PATIENCE {
        let sent = serial_write(rest);
        rest = rest.get(sent..).unwrap_or_default();
        tries = if sent == 0 { tries + 1 } else { 0 };
    }
    screen_write(bytes);
    let mut is_stale = !DRAWS_LAZILY.load(Ordering::Relaxed);
    while is_stale {
        is_stale = screen_draw();
    }
}

/// Takes the devices from whoever holds them. For a panic only.
///
/// # Safety
/// All other CPUs are parked, or have had their chance to be: whoever held a lock will not go on.
pub(crate) unsafe fn seize() {
    draw_lazily(false);
    choose_consoles(true, true);
    for _ in 0..PATIENCE {
        if !SERIAL.is_locked() && !SCREEN.is_locked() {
            return;
        }
        cpu::pause();
    }
    if SERIAL.is_locked() {
        // SAFETY: the holder is parked, by the caller's promise.
        unsafe { SERIAL.force_unlock() };
    }
    if SCREEN.is_locked() {
        // SAFETY: as above.
        unsafe { SCREEN.force_unlock() };
    }
}
