//! The filter between a guest and a terminal: what is not known to be harmless does not pass.

use crate::modes::Modes;
use crate::sequence::Sequence;
use vte::{Params, Parser, Perform};

/// The largest parameter that is passed on: no terminal is larger.
const LARGEST: u16 = 9_999;
/// Maximum number of times a symbol is repeated: one short sequence must not become a flood.
const MAX_REPEATS: u16 = 255;

/// Where confined output goes.
pub trait Sink {
    /// Takes text, a control character, or a whole sequence.
    fn emit(&mut self, bytes: &[u8]);
    /// Whatever was seen before is gone: the picture starts anew with what comes next.
    fn cleared(&mut self) {}
    /// Takes a question that a terminal answers by itself, as if typed.
    fn ask(&mut self, _question: &[u8]) {}
}

/// A guest's way to a terminal.
#[derive(Default)]
pub struct Confined {
    // Room for titles and the like is not needed: they are dropped.
    parser: Parser<0>,
    modes: Modes,
    /// True if the parser may be inside a sequence.
    is_inside: bool,
}

impl Confined {
    /// Returns what the guest has changed so far.
    #[must_use]
    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Takes one byte of the guest.
    #[inline]
    pub fn put(&mut self, byte: u8, sink: &mut impl Sink) {
        // Nearly all bytes are letters, and nearly all others line ends.
        if !self.is_inside && matches!(byte, b' '..=b'~' | b'\r') {
            sink.emit(&[byte]);
            return;
        }
        self.take_apart(byte, sink);
    }

    fn take_apart(&mut self, byte: u8, sink: &mut impl Sink) {
        if byte == 0x1b || byte >= 0x80 {
            self.is_inside = true;
        }
        let mut filter = Filter {
            modes: &mut self.modes,
            sink,
            has_ended: false,
        };
        self.parser.advance(&mut filter, &[byte]);
        if filter.has_ended {
            // What has ended may be half a symbol, and this the start of a sequence.
            self.is_inside = byte == 0x1b;
        }
    }
}

/// Handler of what the parser has found.
struct Filter<'a, S> {
    modes: &'a mut Modes,
    sink: &'a mut S,
    /// True if the parser is back where letters are letters.
    has_ended: bool,
}

impl<S: Sink> Filter<'_, S> {
    fn csi(&mut self, params: &Params, last: u8, default: u16, largest: u16) {
        let mut sequence = Sequence::csi(b"");
        for value in params.iter().filter_map(|param| param.first()).take(2) {
            let value = if *value == 0 { default } else { *value };
            sequence.parameter(value.min(largest));
        }
        self.sink.emit(sequence.finish(last));
    }

    /// Erasing: what is right of here or below, left or above, or all.
    fn erase(&mut self, params: &Params, last: u8) {
        let mut sequence = Sequence::csi(b"");
        match first(params) {
            0 => {}
            value @ 1..=2 => sequence.parameter(value),
            _ => return,
        }
        self.sink.emit(sequence.finish(last));
    }

    /// A full reset as seen from outside: everything put back, an empty screen.
    fn reset(&mut self) {
        self.modes.leave(self.sink);
        *self.modes = Modes::default();
        self.sink.cleared();
        self.sink.emit(b"\x1b[H\x1b[2J");
    }

    fn set_region(&mut self, params: &Params) {
        let mut values = params.iter().filter_map(|param| param.first().copied());
        let top = values.next().unwrap_or(0).clamp(1, LARGEST);
        let bottom = values.next().unwrap_or(0).min(LARGEST);
        if bottom == 0 && top == 1 {
            self.modes.region = None;
            self.sink.emit(b"\x1b[r");
        } else if bottom == 0 || bottom > top {
            let bottom = if bottom == 0 { LARGEST } else { bottom };
            self.modes.region = Some((top, bottom));
            let mut sequence = Sequence::csi(b"");
            sequence.parameter(top);
            sequence.parameter(bottom);
            self.sink.emit(sequence.finish(b'r'));
        }
        // It sends the cursor home, too.
        self.modes.addressed();
    }

    /// Saves or restores the cursor with what belongs to it.
    fn cursor(&mut self, is_saved: bool) {
        if is_saved {
            self.modes.saved = self.modes.dress.clone();
            self.sink.emit(b"\x1b7");
        } else {
            self.modes.dress = self.modes.saved.clone();
            self.sink.emit(b"\x1b8");
            // What the terminal has saved may be another guest's.
            self.modes.dress.put_on(self.sink);
        }
    }

    /// The private modes, each by itself. (XTerm Control Sequences, DECSET)
    fn private_mode(&mut self, mode: u16, is_set: bool) {
        let last = if is_set { b'h' } else { b'l' };
        let mode = match mode {
            1 => {
                self.modes.has_cursor_keys = is_set;
                1
            }
            7 => {
                self.modes.is_wrap_off = !is_set;
                7
            }
            25 => {
                self.modes.is_cursor_hidden = !is_set;
                25
            }
            47 | 1047 | 1049 if self.modes.is_alternate != is_set => {
                self.modes.is_alternate = is_set;
                self.modes.is_addressed = false;
                self.sink.cleared();
                self.sink.emit(if is_set {
                    b"\x1b[?1049h"
                } else {
                    b"\x1b[?1049l"
                });
                // It restores a cursor, of whoever saved one.
                self.modes.dress.put_on(self.sink);
                return;
            }
            1048 => return self.cursor(is_set),
            _ => return,
        };
        let mut sequence = Sequence::csi(b"?");
        sequence.parameter(mode);
        self.sink.emit(sequence.finish(last));
    }
}

/// The first parameter, 0 when there is none.
fn first(params: &Params) -> u16 {
    params
        .iter()
        .next()
        .and_then(|param| param.first().copied())
        .unwrap_or(0)
}

/// Symbols that change how the rest of a line is read, from right to left for example, are no text.
fn is_text(symbol: char) -> bool {
    !symbol.is_control()
        && !matches!(symbol,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

impl<S: Sink> Perform for Filter<'_, S> {
    fn print(&mut self, symbol: char) {
        self.has_ended = true;
        self.modes.is_home = false;
        if symbol == char::REPLACEMENT_CHARACTER {
            self.sink.emit(b"?");
        } else if is_text(symbol) {
            self.sink.emit(symbol.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\r' | b'\t' | 0x08 => self.sink.emit(&[control]),
            // VT and FF are line feeds on a terminal.
            b'\n' | 0x0b | 0x0c => {
                self.modes.is_home = false;
                self.modes.line_fed();
                self.sink.emit(b"\n");
            }
            // SO and SI.
            0x0e | 0x0f => {
                self.modes.dress.is_shifted = control == 0x0e;
                self.sink.emit(&[control]);
            }
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, last: u8) {
        self.has_ended = true;
        if ignore {
            return;
        }
        match (intermediates, last) {
            ([], b'7') => self.cursor(true),
            ([], b'8') => self.cursor(false),
            // IND, NEL, RI.
            ([], b'D') => self.sink.emit(b"\x1bD"),
            ([], b'E') => self.sink.emit(b"\x1bE"),
            ([], b'M') => self.sink.emit(b"\x1bM"),
            ([], b'c') => self.reset(),
            ([], b'=') => {
                self.modes.has_keypad = true;
                self.sink.emit(b"\x1b=");
            }
            ([], b'>') => {
                self.modes.has_keypad = false;
                self.sink.emit(b"\x1b>");
            }
            ([place @ (b'(' | b')')], charset @ (b'0' | b'A' | b'B')) => {
                let has_lines = charset == b'0';
                let [g0, g1] = &mut self.modes.dress.has_lines;
                *(if *place == b'(' { g0 } else { g1 }) = has_lines;
                let charset = if has_lines { b'0' } else { b'B' };
                self.sink.emit(&[0x1b, *place, charset]);
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        self.has_ended = true;
        let Ok(last) = u8::try_from(last) else { return };
        if ignore {
            return;
        }
        let is_home = core::mem::take(&mut self.modes.is_home);
        match (intermediates, last) {
            ([], b'@' | b'A'..=b'E' | b'I' | b'L' | b'M' | b'P' | b'X' | b'Z' | b'a' | b'e') => {
                self.csi(params, last, 1, LARGEST);
            }
            // With more parameters this is about the mouse.
            ([], b'S' | b'T') if params.len() <= 1 => self.csi(params, last, 1, LARGEST),
            ([], b'F' | b'G' | b'`') => self.csi(params, last, 1, LARGEST),
            ([], b'H' | b'f' | b'd') => {
                self.modes.addressed();
                self.csi(params, last, 1, LARGEST);
                if last != b'd' && params.iter().flatten().all(|value| *value <= 1) {
                    self.modes.is_home = true;
                    // The next byte must come by here, so that a letter ends it.
                    self.has_ended = false;
                }
            }
            ([], b'b') => self.csi(params, last, 1, MAX_REPEATS),
            ([], b'J') => {
                // Terminals of the VT100 kind clear a screen so: home, then erase what is below.
                if first(params) == 2 || first(params) == 0 && is_home {
                    self.sink.cleared();
                }
                // 3 would erase the operator's own scrollback.
                self.erase(params, b'J');
            }
            ([], b'K') => self.erase(params, b'K'),
            ([], b'm') => {
                let mut sequence = self.modes.dress.attributes.follow(params);
                if sequence.has_parameter() {
                    self.sink.emit(sequence.finish(b'm'));
                }
            }
            ([], b'r') => self.set_region(params),
            ([], b's') => self.cursor(true),
            ([], b'u') => self.cursor(false),
            ([], b'h' | b'l') if first(params) == 4 => {
                self.modes.is_inserting = last == b'h';
                self.sink
                    .emit(if last == b'h' { b"\x1b[4h" } else { b"\x1b[4l" });
            }
            ([], b'n') => match first(params) {
                5 => self.sink.ask(b"\x1b[5n"),
                6 => self.sink.ask(b"\x1b[6n"),
                _ => {}
            },
            ([], b'c') if first(params) == 0 => self.sink.ask(b"\x1b[c"),
            ([b'?'], b'h' | b'l') => {
                for mode in params.iter().filter_map(|param| param.first()) {
                    self.private_mode(*mode, last == b'h');
                }
            }
            // DECSTR puts back what a picture is put back to when it is left.
            ([b'!'], b'p') => {
                self.modes.leave(self.sink);
                *self.modes = Modes::default();
            }
            _ => {}
        }
    }
}
