//! A VM's text screen on the operator's terminal, and the operator's keys on its keyboard.
//!
//! The guest writes characters into plain memory and the cursor into the VGA adapter; nothing tells
//! when. So the screen is looked at some times a second, while a session shows it.

mod glyphs;
mod keys;
mod terminal;

use ::terminal::{Keys, Press};
use addr::Gpa;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use board::{Keyboard, VgaSlot};
use chipset::{MAX_COLUMNS, Picture, TextMode};
use guest_memory::GuestMemory;
use keys::Stroke;
use terminal::{Cell, Shot, Terminal};
use time::Instant;

/// The time between two looks at the screen.
const FRAME_NS: u64 = 40_000_000;
/// About the most bytes of one look, so that a serial line of 115,200 baud can follow.
const FRAME_BYTES: usize = 2048;
/// The time that a key stays down when no other follows: games look some times a second whether it
/// is.
const HOLD_NS: u64 = 100_000_000;
/// The time that it stays down when another one follows, or itself again: somebody pastes a text.
const PRESS_NS: u64 = 15_000_000;
/// The most keys that wait for a guest that does not take them; more are dropped.
const WAITING_KEYS: usize = 256;
/// A character, white on black.
const PLAIN: Cell = 0x0700;
/// The shape of a screen that shows no text of the guest.
const NOTE_COLUMNS: usize = 80;
const NOTE_ROWS: usize = 25;

/// One VM's screen and keyboard, as one operator uses them.
pub(crate) struct Display {
    terminal: Terminal,
    due: Instant,
    cells: Vec<Cell>,
    out: Vec<u8>,
    keys: Keys,
    /// When the last byte was typed.
    typed_at: Instant,
    strokes: VecDeque<Stroke>,
    /// The key that is down, and since when.
    held: Option<(Stroke, Instant)>,
    /// The guest's life that all this was typed for.
    life: u32,
}

impl Display {
    pub(crate) fn new() -> Self {
        Self {
            terminal: Terminal::new(),
            due: Instant::default(),
            cells: Vec::new(),
            out: Vec::new(),
            keys: Keys::default(),
            typed_at: Instant::default(),
            strokes: VecDeque::new(),
            held: None,
            life: 0,
        }
    }

    /// Shows all again, on an empty screen: the terminal has shown something else.
    pub(crate) fn redraw(&mut self) {
        self.terminal.forget();
        self.due = Instant::default();
    }

    /// Takes a byte that the operator has typed.
    pub(crate) fn type_byte(&mut self, byte: u8, keyboard: &Keyboard, now: Instant) {
        self.follow_life(keyboard);
        self.note_pause(now);
        self.typed_at = now;
        let press = self.keys.take(byte);
        self.strike(press);
        self.play(keyboard, now);
    }

    /// Takes an Esc for the key after a while of silence.
    fn note_pause(&mut self, now: Instant) {
        if now.since_ns(self.typed_at) >= Keys::PAUSE_NS {
            let press = self.keys.pause();
            self.strike(press);
        }
    }

    fn strike(&mut self, press: Option<Press>) {
        if let Some(stroke) = press.and_then(Stroke::of)
            && self.strokes.len() < WAITING_KEYS
        {
            self.strokes.push_back(stroke);
        }
    }

    /// Forgets what was typed for an earlier life of the guest, which has no key down.
    fn follow_life(&mut self, keyboard: &Keyboard) {
        let life = keyboard.life();
        if self.life != life {
            self.life = life;
            self.keys = Keys::default();
            self.strokes.clear();
            self.held = None;
        }
    }

    /// Releases the key that is down and forgets those that were not pressed yet: the operator
    /// leaves.
    pub(crate) fn leave(&mut self, keyboard: &Keyboard) {
        self.follow_life(keyboard);
        self.keys = Keys::default();
        self.strokes.clear();
        if let Some((stroke, _)) = self.held.take() {
            keyboard.add(|codes| stroke.release(codes));
        }
    }

    /// Moves keys on, if the VM `is_running`: a paused guest notices nothing.
    pub(crate) fn keep(&mut self, keyboard: &Keyboard, is_running: bool, now: Instant) {
        self.follow_life(keyboard);
        self.note_pause(now);
        if is_running {
            self.play(keyboard, now);
        }
    }

    /// Writes what leads the terminal from what it shows to what the guest's screen shows: a piece
    /// of it, and nothing if the last look was just now. To be called some hundred times a second.
    pub(crate) fn render(
        &mut self,
        screen: &VgaSlot,
        ram: &impl GuestMemory,
        now: Instant,
    ) -> &[u8] {
        self.out.clear();
        if now < self.due {
            return &self.out;
        }
        self.due = now.after_ns(FRAME_NS);
        match screen.with(|vga| vga.picture()) {
            Picture::Text(text) => self.show_text(text, ram),
            Picture::Off => self.show_note(""),
            Picture::Graphics => self.show_note("graphics mode: only text can be shown here"),
        }
        &self.out
    }

    fn show_text(&mut self, text: TextMode, ram: &impl GuestMemory) {
        self.cells.clear();
        for row in 0..text.rows {
            let mut bytes = [0; 2 * MAX_COLUMNS as usize];
            let (bytes, _) = bytes.split_at_mut(2 * usize::from(text.columns));
            read_row(text, row, ram, bytes);
            let (cells, _) = bytes.as_chunks::<2>();
            self.cells
                .extend(cells.iter().map(|cell| Cell::from_le_bytes(*cell)));
        }
        let place = |(row, column)| (usize::from(row), usize::from(column));
        let shot = Shot {
            columns: text.columns.into(),
            rows: text.rows.into(),
            cells: &self.cells,
            cursor: text.cursor_place().map(place),
            blinks: text.blinks,
        };
        self.terminal.update(&shot, FRAME_BYTES, &mut self.out);
    }

    fn show_note(&mut self, note: &str) {
        self.cells.clear();
        self.cells
            .extend(note.bytes().map(|byte| PLAIN | Cell::from(byte)));
        self.cells
            .resize(NOTE_COLUMNS * NOTE_ROWS, PLAIN | Cell::from(b' '));
        let shot = Shot {
            columns: NOTE_COLUMNS,
            rows: NOTE_ROWS,
            cells: &self.cells,
            cursor: None,
            blinks: true,
        };
        self.terminal.update(&shot, FRAME_BYTES, &mut self.out);
    }

    /// Presses the next key, repeats the last one, or lets it go, when it is time and the keyboard
    /// has room.
    fn play(&mut self, keyboard: &Keyboard, now: Instant) {
        if !keyboard.hand_over() {
            return;
        }
        let next = self.strokes.front().copied();
        if let Some((stroke, since)) = self.held {
            let stays_ns = if next.is_some() { PRESS_NS } else { HOLD_NS };
            if now.since_ns(since) < stays_ns {
                return;
            }
            self.held = None;
            keyboard.add(|codes| {
                if next == Some(stroke) {
                    // A terminal says again what is held down.
                    stroke.repeat(codes);
                } else {
                    stroke.release(codes);
                    if let Some(next) = next {
                        next.press(codes);
                    }
                }
            });
        } else if let Some(next) = next {
            keyboard.add(|codes| next.press(codes));
        }
        if let Some(next) = self.strokes.pop_front() {
            self.held = Some((next, now));
        }
        keyboard.hand_over();
    }
}

/// Copies a row out of guest memory; what lies outside it stays zero.
fn read_row(text: TextMode, row: u16, ram: &impl GuestMemory, bytes: &mut [u8]) {
    let at =
        |column: u16| Gpa::new(u64::from(text.window) + u64::from(text.offset_of(row, column)));
    let first = at(0);
    // The window wraps where a cell lies before the first.
    let wraps = (1..text.columns).find(|column| at(*column) < first);
    let split = wraps.map_or(bytes.len(), |column| 2 * usize::from(column));
    let (head, tail) = bytes.split_at_mut(split);
    let _ = ram.read(first, head);
    if let Some(column) = wraps {
        let _ = ram.read(at(column), tail);
    }
}
