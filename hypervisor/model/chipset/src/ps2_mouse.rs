//! A PS/2 mouse with a wheel and five buttons, as it sits at the controller's second port.
//!
//! Follows the IBM PS/2 technical reference, "Mouse", for commands and reports, and A. Chapweske's
//! "The PS/2 Mouse Interface" (2003) for the IntelliMouse extensions: the sample rates 200, 100, 80
//! in a row turn it into a wheel mouse (id 3), 200, 200, 80 into one with five buttons (id 4).
//!
//! It counts movement all the time, within bounds. Reports are made when the controller can take
//! their first byte, so there is never more than one.

mod motion;

pub use motion::MouseButtons;

use crate::ring::Ring;
use device::{BadState, Page};
use motion::{Form, Motion, Scaling};
use serde::{Deserialize, Serialize};
use time::Instant;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;

/// Parameters lie below, commands from here on.
const FIRST_COMMAND: u8 = 0xe6;

const SECOND_NS: u64 = 1_000_000_000;
/// Reports a second.
const DEFAULT_RATE: u8 = 100;
const MIN_RATE: u8 = 10;
/// Four counts per millimetre.
const DEFAULT_RESOLUTION: u8 = 2;
const MAX_RESOLUTION: u8 = 3;

const STATUS_DOUBLE: u8 = 1 << 4;
const STATUS_ENABLED: u8 = 1 << 5;
const STATUS_REMOTE: u8 = 1 << 6;

/// When reports leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// By themselves, while reporting is enabled.
    Stream,
    /// When they are asked for.
    Remote,
}

/// A command whose parameter comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Awaiting {
    SampleRate,
    Resolution,
}

/// The mouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mouse {
    /// Answers to commands, which go before reports.
    answers: Ring<16>,
    /// The rest of the report under way.
    report: Ring<4>,
    /// The last report or answer, without its acknowledgement, for a resend.
    last: Ring<4>,
    motion: Motion,
    form: Form,
    mode: Mode,
    /// Bytes are echoed.
    is_wrapping: bool,
    is_enabled: bool,
    scaling: Scaling,
    resolution: u8,
    /// Reports a second.
    rate: u8,
    /// The last three sample rates that were set, with no other command between.
    rates: [u8; 3],
    awaiting: Option<Awaiting>,
    /// No report before this, for the sample rate.
    report_at: Instant,
}

/// Returns whether a mouse can send so many reports a second.
const fn is_rate(value: u8) -> bool {
    matches!(value, MIN_RATE | 20 | 40 | 60 | 80 | 100 | 200)
}

impl Mouse {
    /// Checks one that was saved at `now`.
    pub(crate) fn check(&self, now: Instant) -> Result<(), BadState> {
        self.answers.check()?;
        self.report.check()?;
        self.last.check()?;
        self.motion.check()?;
        let is_or_was_rate = |rate: &u8| *rate == 0 || is_rate(*rate);
        BadState::unless(
            is_rate(self.rate)
                && self.rates.iter().all(is_or_was_rate)
                && self.resolution <= MAX_RESOLUTION,
            "the mouse has a rate or a resolution that none has",
        )?;
        let latest = now.after_ns(SECOND_NS / u64::from(MIN_RATE));
        BadState::unless(self.report_at <= latest, "the mouse is silent for too long")
    }

    /// A mouse after its self-test, whose result was read: reporting is disabled.
    pub(crate) const fn new() -> Self {
        Self {
            answers: Ring::new(),
            report: Ring::new(),
            last: Ring::new(),
            motion: Motion::new(),
            form: Form::Standard,
            mode: Mode::Stream,
            is_wrapping: false,
            is_enabled: false,
            scaling: Scaling::Linear,
            resolution: DEFAULT_RESOLUTION,
            rate: DEFAULT_RATE,
            rates: [0; 3],
            awaiting: None,
            report_at: Instant::from_ns(0),
        }
    }

    /// Counts a movement: to the right, upwards, and wheel steps towards the user.
    pub(crate) fn count(&mut self, right: i32, up: i32, wheel: i32) {
        self.motion.count(right, up, wheel);
    }

    pub(crate) fn set_buttons(&mut self, buttons: MouseButtons) {
        self.motion.set_buttons(buttons);
    }

    /// Returns whether a driver wants its reports.
    pub(crate) const fn is_reporting(&self) -> bool {
        match self.mode {
            Mode::Stream => self.is_enabled && !self.is_wrapping,
            Mode::Remote => !self.is_wrapping,
        }
    }

    /// Returns when the next byte can leave, if there is one.
    pub(crate) fn next_byte_at(&self) -> Option<Instant> {
        if !self.answers.is_empty() || !self.report.is_empty() {
            return Some(Instant::from_ns(0));
        }
        self.wants_to_report().then_some(self.report_at)
    }

    /// Takes the next byte, if one can leave at `now`.
    pub(crate) fn next_byte(&mut self, now: Instant) -> Option<u8> {
        if let Some(byte) = self.answers.pop() {
            return Some(byte);
        }
        if self.report.is_empty() && self.wants_to_report() && now >= self.report_at {
            self.report = self.motion.take_report(self.form, self.scaling);
            self.last = self.report.clone();
            let period_ns = SECOND_NS / u64::from(self.rate.max(MIN_RATE));
            self.report_at = now.after_ns(period_ns);
        }
        self.report.pop()
    }

    /// A byte from the system.
    pub(crate) fn command(&mut self, value: u8) {
        if !self.report.is_empty() {
            // A report that is cut short is not taken up again.
            self.report = Ring::new();
            self.motion.tell_buttons_again();
        }
        if self.is_wrapping && !matches!(value, 0xec | 0xff) {
            return self.send(&[value]);
        }
        if let Some(awaiting) = self.awaiting.take()
            && value < FIRST_COMMAND
        {
            return self.parameter(awaiting, value);
        }
        if value != 0xf3 {
            self.rates = [0; 3];
        }
        // All but Read Data and Resend begin to count anew.
        if !matches!(value, 0xeb | 0xfe) {
            self.motion.clear_counters();
        }
        self.execute(value);
    }

    fn execute(&mut self, command: u8) {
        match command {
            0xe6 => self.scaling = Scaling::Linear,
            0xe7 => self.scaling = Scaling::Double,
            0xe8 => self.awaiting = Some(Awaiting::Resolution),
            0xe9 => return self.acknowledge_with(&[self.status(), self.resolution, self.rate]),
            0xea => self.mode = Mode::Stream,
            0xeb => return self.read_data(),
            0xec => self.is_wrapping = false,
            0xee => self.is_wrapping = true,
            0xf0 => self.mode = Mode::Remote,
            0xf2 => return self.acknowledge_with(&[self.form.id()]),
            0xf3 => self.awaiting = Some(Awaiting::SampleRate),
            0xf4 => self.is_enabled = true,
            0xf5 => self.is_enabled = false,
            0xf6 => self.set_defaults(),
            0xfe => return self.resend(),
            0xff => {
                let mut motion = self.motion.clone();
                motion.reset();
                *self = Self {
                    motion,
                    ..Self::new()
                };
                return self.acknowledge_with(&[SELF_TEST_PASSED, self.form.id()]);
            }
            _ => return self.send(&[RESEND]),
        }
        self.send(&[ACK]);
    }

    fn parameter(&mut self, awaiting: Awaiting, value: u8) {
        match (awaiting, value) {
            (Awaiting::SampleRate, _) if is_rate(value) => {
                self.rate = value;
                let [_, before, last] = self.rates;
                self.rates = [before, last, value];
                match self.rates {
                    [200, 100, 80] => self.form = Form::Wheel,
                    [200, 200, 80] => self.form = Form::FiveButtons,
                    _ => {}
                }
            }
            (Awaiting::Resolution, ..=MAX_RESOLUTION) => self.resolution = value,
            (Awaiting::SampleRate | Awaiting::Resolution, _) => {
                // To be said again.
                self.awaiting = Some(awaiting);
                return self.send(&[RESEND]);
            }
        }
        self.motion.clear_counters();
        self.send(&[ACK]);
    }

    /// Set Defaults; the form of the reports stays.
    fn set_defaults(&mut self) {
        (self.mode, self.is_enabled) = (Mode::Stream, false);
        self.scaling = Scaling::Linear;
        (self.resolution, self.rate) = (DEFAULT_RESOLUTION, DEFAULT_RATE);
    }

    /// Read Data: a report at once, never scaled.
    fn read_data(&mut self) {
        let report = self.motion.take_report(self.form, Scaling::Linear);
        self.answers.push(ACK);
        self.last = report;
        self.push_last();
    }

    fn resend(&mut self) {
        if self.last.is_empty() {
            // What it said when it was switched on.
            return self.send(&[SELF_TEST_PASSED, self.form.id()]);
        }
        self.push_last();
    }

    fn push_last(&mut self) {
        // What does not fit is lost: nobody reads it.
        let mut last = self.last.clone();
        while let Some(byte) = last.pop() {
            self.answers.push(byte);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.last = Ring::new();
        for byte in bytes {
            self.last.push(*byte);
        }
        self.push_last();
    }

    fn acknowledge_with(&mut self, data: &[u8]) {
        self.answers.push(ACK);
        self.send(data);
    }

    fn status(&self) -> u8 {
        let scaling = match self.scaling {
            Scaling::Linear => 0,
            Scaling::Double => STATUS_DOUBLE,
        };
        let mode = match self.mode {
            Mode::Stream => 0,
            Mode::Remote => STATUS_REMOTE,
        };
        let enabled = if self.is_enabled { STATUS_ENABLED } else { 0 };
        scaling | mode | enabled | self.motion.status_buttons()
    }

    fn wants_to_report(&self) -> bool {
        let may_report = match self.mode {
            Mode::Stream => self.is_enabled && !self.is_wrapping,
            Mode::Remote => false,
        };
        may_report && self.motion.has_news(self.form)
    }

    /// Writes down what an operator wants to see.
    pub(crate) fn inspect(&self, page: &mut Page<'_>) {
        let reports = if self.is_reporting() { "on" } else { "off" };
        page.line(
            "mouse",
            format_args!(
                "reporting {reports}, id {}, {} a second, {} bytes wait",
                self.form.id(),
                self.rate,
                self.answers.len().saturating_add(self.report.len())
            ),
        );
    }
}

#[cfg(test)]
mod tests;
