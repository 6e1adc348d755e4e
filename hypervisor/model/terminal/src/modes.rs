//! Changes of a guest to a terminal: to put it back, and to set it again.

use crate::attributes::Attributes;
use crate::confine::Sink;
use crate::sequence::Sequence;

/// Line feeds without any cursor addressing after which a guest is taken to print plain lines again.
const PLAIN_LINES: u8 = 3;

/// Look of symbols, which is saved and restored with the cursor. (VT220 programmer's reference,
/// DECSC)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dress {
    pub(crate) attributes: Attributes,
    /// True for each of G0 and G1 that holds the DEC line-drawing symbols.
    pub(crate) has_lines: [bool; 2],
    /// True if G1 is shown (SO).
    pub(crate) is_shifted: bool,
}

impl Dress {
    /// Makes a terminal draw so, whatever it did before.
    pub(crate) fn put_on(&self, sink: &mut impl Sink) {
        let Self {
            attributes,
            has_lines,
            is_shifted,
        } = self;
        sink.emit(if has_lines[0] { b"\x1b(0" } else { b"\x1b(B" });
        sink.emit(if has_lines[1] { b"\x1b)0" } else { b"\x1b)B" });
        sink.emit(if *is_shifted { b"\x0e" } else { b"\x0f" });
        sink.emit(attributes.sequence().finish(b'm'));
    }
}

/// The state of a terminal as far as a guest may change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    pub(crate) dress: Dress,
    /// Look that was saved with the cursor.
    pub(crate) saved: Dress,
    pub(crate) is_alternate: bool,
    /// Top and bottom row of the scroll region, from 1.
    pub(crate) region: Option<(u16, u16)>,
    pub(crate) is_cursor_hidden: bool,
    pub(crate) is_wrap_off: bool,
    pub(crate) is_inserting: bool,
    pub(crate) has_cursor_keys: bool,
    pub(crate) has_keypad: bool,
    /// True if the cursor was sent to places lately.
    pub(crate) is_addressed: bool,
    pub(crate) plain_lines: u8,
    /// True if the cursor was sent to the first place, and nothing was printed since.
    pub(crate) is_home: bool,
}

impl Modes {
    /// Returns whether a line printed in between would spoil the picture.
    #[must_use]
    pub fn is_full_screen(&self) -> bool {
        self.is_alternate || self.region.is_some() || self.is_addressed
    }

    /// Puts the terminal back as it was: plain symbols, whole screen, cursor shown; past a full-screen picture below it.
    pub fn leave(&self, sink: &mut impl Sink) {
        let is_over_picture = self.is_full_screen() && !self.is_alternate;
        let Self {
            dress,
            saved: _,
            is_alternate,
            region,
            is_cursor_hidden,
            is_wrap_off,
            is_inserting,
            has_cursor_keys,
            has_keypad,
            is_addressed: _,
            plain_lines: _,
            is_home: _,
        } = self;
        let undo: [(bool, &[u8]); 7] = [
            // It sends the cursor home, so that is saved around it.
            (region.is_some(), b"\x1b7\x1b[r\x1b8"),
            (*is_alternate, b"\x1b[?1049l"),
            (*is_cursor_hidden, b"\x1b[?25h"),
            (*is_wrap_off, b"\x1b[?7h"),
            (*is_inserting, b"\x1b[4l"),
            (*has_cursor_keys, b"\x1b[?1l"),
            (*has_keypad, b"\x1b>"),
        ];
        for (is_needed, sequence) in undo {
            if is_needed {
                sink.emit(sequence);
            }
        }
        // What the main screen had on is not known any more.
        if *is_alternate || *dress != Dress::default() {
            Dress::default().put_on(sink);
        }
        if is_over_picture {
            sink.emit(b"\x1b[999;1H\r\n");
        }
    }

    /// Sets everything again on a terminal that is as [`Modes::leave`] leaves it. The cursor may move.
    pub fn enter(&self, sink: &mut impl Sink) {
        let changes: [(bool, &[u8]); 6] = [
            (self.is_alternate, b"\x1b[?1049h"),
            (self.is_cursor_hidden, b"\x1b[?25l"),
            (self.is_wrap_off, b"\x1b[?7l"),
            (self.is_inserting, b"\x1b[4h"),
            (self.has_cursor_keys, b"\x1b[?1h"),
            (self.has_keypad, b"\x1b="),
        ];
        for (is_needed, sequence) in changes {
            if is_needed {
                sink.emit(sequence);
            }
        }
        if let Some((top, bottom)) = self.region {
            let mut sequence = Sequence::csi(b"");
            sequence.parameter(top);
            sequence.parameter(bottom);
            sink.emit(sequence.finish(b'r'));
        }
        self.dress(sink);
    }

    /// Makes symbols look as the guest left them, after [`Modes::leave`].
    pub fn dress(&self, sink: &mut impl Sink) {
        if self.dress != Dress::default() {
            self.dress.put_on(sink);
        }
    }

    /// As [`Modes::dress`], whatever the symbols looked like before.
    pub fn dress_anew(&self, sink: &mut impl Sink) {
        self.dress.put_on(sink);
    }

    pub(crate) fn addressed(&mut self) {
        self.is_addressed = true;
        self.plain_lines = 0;
    }

    pub(crate) fn line_fed(&mut self) {
        self.plain_lines = self.plain_lines.saturating_add(1);
        if self.plain_lines >= PLAIN_LINES {
            self.is_addressed = false;
        }
    }
}
