//! The output buffer: one byte at a time, of the controller, the keyboard or the mouse.

use super::Port;
use device::BadState;
use serde::{Deserialize, Serialize};
use time::Instant;

/// The next byte of a device follows this long after one was read, so that each makes its own edge.
pub(super) const BYTE_NS: u64 = 100_000;

/// Answers that wait at most; what is asked beyond is not answered.
const MAX_ANSWERS: usize = 4;

/// A byte and the port it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    byte: u8,
    from: Port,
}

/// The buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputBuffer {
    held: Option<Output>,
    /// The byte that was read last: the register keeps it.
    last: u8,
    /// Answers of the controller itself, the oldest first, which go before the devices' bytes.
    answers: [Option<Output>; MAX_ANSWERS],
    /// No byte of a device before this.
    ready_at: Instant,
    /// The port that goes first when both have a byte.
    turn: Port,
}

impl OutputBuffer {
    pub(super) const fn new() -> Self {
        Self {
            held: None,
            last: 0,
            answers: [None; MAX_ANSWERS],
            ready_at: Instant::from_ns(0),
            turn: Port::Keyboard,
        }
    }

    /// Checks one that was saved at `now`.
    pub(super) fn check(&self, now: Instant) -> Result<(), BadState> {
        let waiting = self.answers.iter().take_while(|answer| answer.is_some());
        let is_gapless = waiting.count() == self.answers.iter().flatten().count();
        let is_full_first = self.held.is_some() || self.answers.iter().all(Option::is_none);
        BadState::unless(
            is_gapless && is_full_first,
            "an answer waits for a buffer that is free",
        )?;
        BadState::unless(
            self.ready_at <= now.after_ns(BYTE_NS),
            "the controller is silent for too long",
        )
    }

    /// Returns it as no controller leaves it: answers wait, and nothing is held.
    #[cfg(test)]
    pub(super) fn without_held(self) -> Self {
        Self { held: None, ..self }
    }

    /// Returns the port whose byte it holds, if it is full.
    pub(super) fn holds(&self) -> Option<Port> {
        self.held.map(|output| output.from)
    }

    /// Adds an answer of the controller, which passes for a byte of this port.
    pub(super) fn answer(&mut self, from: Port, byte: u8) {
        if let Some(free) = self.answers.iter_mut().find(|answer| answer.is_none()) {
            *free = Some(Output { byte, from });
        }
        self.move_up();
    }

    /// Returns when it takes a device's byte; `None` while it is full.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.held.is_none().then_some(self.ready_at)
    }

    /// Returns the ports in the order in which they may fill it.
    pub(super) const fn turns(&self) -> [Port; 2] {
        [self.turn, self.turn.other()]
    }

    /// Takes a device's byte; the other port goes first next time.
    pub(super) fn fill(&mut self, from: Port, byte: u8) {
        self.held = Some(Output { byte, from });
        self.turn = from.other();
    }

    /// Reads the byte; from an empty buffer, the last one again.
    pub(super) fn read(&mut self, now: Instant) -> u8 {
        if let Some(output) = self.held.take() {
            self.last = output.byte;
            self.ready_at = now.after_ns(BYTE_NS);
            // An answer follows at once: whoever asks, polls.
            self.move_up();
        }
        self.last
    }

    fn move_up(&mut self) {
        if self.held.is_none() {
            let [oldest, ..] = &mut self.answers;
            self.held = oldest.take();
            self.answers.rotate_left(1);
        }
    }
}
