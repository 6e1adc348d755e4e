//! The last of what a guest has printed, in a fixed number of bytes.

#[cfg(test)]
mod tests;

use crate::confine::Sink;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Confined output, the newest of it. What falls out at the other end is gone.
pub struct Scrollback {
    ring: Box<[u8]>,
    /// Number of bytes ever written; the next byte's place, counted from the first.
    end: u64,
    /// Where the picture last started anew.
    cleared: Option<u64>,
}

impl Scrollback {
    /// Keeps so many bytes, or the next power of two. All its memory is taken here.
    #[must_use]
    pub fn new(capacity_bytes: usize) -> Self {
        Self {
            ring: vec![0; capacity_bytes.next_power_of_two()].into_boxed_slice(),
            end: 0,
            cleared: None,
        }
    }

    /// Returns how much was ever written: the place where the next byte goes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds to the end.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        // No division for each byte of a guest's: the length is a power of two.
        let mask = self.ring.len() as u64 - 1;
        for byte in bytes {
            if let Some(place) = self.ring.get_mut((self.end & mask) as usize) {
                *place = *byte;
            }
            self.end += 1;
        }
    }

    /// Notes that the picture starts anew here.
    pub fn clear(&mut self) {
        self.cleared = Some(self.end);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        let Self {
            ring: _,
            end,
            cleared,
        } = self;
        *end = 0;
        *cleared = None;
    }

    /// The byte at a place, if it is still there.
    fn at(&self, place: u64) -> Option<u8> {
        if place >= self.end || place < self.oldest() {
            return None;
        }
        let index = place & (self.ring.len() as u64 - 1);
        self.ring.get(index as usize).copied()
    }

    fn oldest(&self) -> u64 {
        self.end.saturating_sub(self.ring.len() as u64)
    }

    /// Where the last `count` lines begin, an unfinished one included, but not further back than `limit_bytes`; never inside a
    /// sequence or a symbol.
    #[must_use]
    pub fn lines_start(&self, count: usize, limit_bytes: u64) -> u64 {
        let lowest = self.oldest().max(self.end.saturating_sub(limit_bytes));
        let mut left = count;
        let mut place = self.end;
        while place > lowest {
            // The end of the last line is no line by itself.
            if place != self.end && self.at(place - 1) == Some(b'\n') {
                left = left.saturating_sub(1);
                if left == 0 {
                    return place;
                }
            }
            place -= 1;
        }
        self.boundary(lowest)
    }

    /// Where the unfinished line begins; the end when there is none, or none shorter than `limit_bytes`.
    #[must_use]
    pub fn open_line_start(&self, limit_bytes: u64) -> u64 {
        let lowest = self.oldest().max(self.end.saturating_sub(limit_bytes));
        let mut place = self.end;
        while place > lowest {
            if self.at(place - 1) == Some(b'\n') {
                return place;
            }
            place -= 1;
        }
        if lowest == 0 { 0 } else { self.end }
    }

    /// Where the picture last started anew, if all since then is there and no more than `limit_bytes`.
    #[must_use]
    pub fn picture_start(&self, limit_bytes: u64) -> Option<u64> {
        self.cleared
            .filter(|at| *at >= self.oldest() && self.end - at <= limit_bytes)
    }

    /// The first place from `place` on where text, a symbol or a sequence begins.
    fn boundary(&self, place: u64) -> u64 {
        if place == 0 {
            return 0;
        }
        let is_line = |at: &u64| self.at(at - 1) == Some(b'\n') || self.at(*at) == Some(0x1b);
        let is_symbol = |at: &u64| self.at(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
        (place + 1..self.end)
            .find(is_line)
            .or_else(|| (place..self.end).find(is_symbol))
            .unwrap_or(self.end)
    }

    /// Shows what is from a place on, up to `end`. Sequences that set modes are left out: the modes that hold now are set by
    /// [`Modes::enter`](crate::Modes::enter) before.
    pub fn replay(&self, from: u64, end: u64, sink: &mut impl Sink) {
        let mut piece = [0; REPLAY_BYTES];
        let mut len = 0;
        for place in from.max(self.oldest())..end.min(self.end) {
            let Some(byte) = self.at(place) else { break };
            let collected = piece.get(..len).unwrap_or(&piece);
            let starts_sequence = byte == 0x1b;
            let is_whole = collected.first() == Some(&0x1b) && is_sequence(collected);
            if len == REPLAY_BYTES || starts_sequence || is_whole {
                show(collected, sink);
                len = 0;
            }
            if let Some(place) = piece.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
        show(piece.get(..len).unwrap_or(&piece), sink);
    }

    /// The bytes from a place on.
    pub fn from(&self, place: u64) -> impl Iterator<Item = u8> + '_ {
        (place.max(self.oldest())..self.end).filter_map(|at| self.at(at))
    }
}

/// Longer than any sequence that [`Confined`](crate::Confined) lets through.
const REPLAY_BYTES: usize = 256;

/// Returns whether confined output that begins with ESC is complete.
fn is_sequence(bytes: &[u8]) -> bool {
    match bytes {
        [_, b'['] | [_, b'(' | b')'] | [_] | [] => false,
        [_, b'[', .., last] => matches!(last, b'@'..=b'~'),
        _ => true,
    }
}

/// Passes on a piece of text or one sequence, if it sets no mode.
fn show(piece: &[u8], sink: &mut impl Sink) {
    match piece {
        [] | [0x1b, b'=' | b'>'] | [0x1b, b'[', .., b'h' | b'l' | b'r'] => {}
        // Cut off by the end: not whole, not shown.
        [0x1b, ..] if !is_sequence(piece) => {}
        piece => sink.emit(piece),
    }
}

/// Text without sequences, as lines of at most `width` symbols: what was overprinted is gone, what was placed is in lines.
#[must_use]
pub fn plain_text(bytes: impl Iterator<Item = u8>, width: usize) -> String {
    let mut text = Plain {
        done: String::new(),
        line: Vec::new(),
        column: 0,
        width: width.max(1),
    };
    let mut parser = vte::Parser::<0>::default();
    for byte in bytes {
        parser.advance(&mut text, &[byte]);
    }
    if !text.line.is_empty() {
        text.end_line();
    }
    text.done
}

struct Plain {
    done: String,
    line: Vec<char>,
    column: usize,
    width: usize,
}

impl Plain {
    fn end_line(&mut self) {
        let line: String = self.line.iter().collect();
        self.done.push_str(line.trim_end());
        self.done.push('\n');
        self.line.clear();
        self.column = 0;
    }
}

impl vte::Perform for Plain {
    fn print(&mut self, symbol: char) {
        if self.column >= self.width {
            self.end_line();
        }
        while self.line.len() <= self.column {
            self.line.push(' ');
        }
        if let Some(place) = self.line.get_mut(self.column) {
            *place = symbol;
        }
        self.column += 1;
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\n' => self.end_line(),
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = (self.column / 8 + 1) * 8,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, _: &[u8], _: bool, last: char) {
        let value = params.iter().flatten().next().copied().unwrap_or(0);
        match last {
            // Another place: another line, here.
            'H' | 'f' | 'd' if !self.line.is_empty() => self.end_line(),
            'K' if value == 0 => self.line.truncate(self.column),
            'J' if value == 0 => self.line.truncate(self.column),
            'C' => self.column = (self.column + usize::from(value.max(1))).min(self.width),
            'D' => self.column = self.column.saturating_sub(value.max(1).into()),
            _ => {}
        }
    }
}
