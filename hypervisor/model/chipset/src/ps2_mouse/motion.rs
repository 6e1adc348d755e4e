//! Movement and buttons of a mouse between two reports, and the report they make.
//!
//! A report has three bytes: buttons, signs and overflows; X; Y. Wheel mice add a fourth.

use crate::ring::Ring;
use device::BadState;
use serde::{Deserialize, Serialize};

/// Counts that are kept for an axis: four reports' worth. What goes beyond is lost.
const MAX_COUNTS: i16 = 4 * MAX_REPORTED;
/// Counts in one report: nine bits, two's complement.
const MAX_REPORTED: i16 = 255;
/// The same where scaling doubles them.
const MAX_DOUBLED: i16 = 127;
/// Wheel steps that are kept.
const MAX_STEPS: i8 = 63;
/// Wheel steps in one report: four bits, two's complement.
const MIN_REPORTED_STEPS: i8 = -8;
const MAX_REPORTED_STEPS: i8 = 7;

const ALWAYS_ONE: u8 = 1 << 3;
const X_SIGN: u8 = 1 << 4;
const Y_SIGN: u8 = 1 << 5;
const X_OVERFLOW: u8 = 1 << 6;
const Y_OVERFLOW: u8 = 1 << 7;

const LEFT: u8 = 1 << 0;
const RIGHT: u8 = 1 << 1;
const MIDDLE: u8 = 1 << 2;
const BACK: u8 = 1 << 3;
const FORWARD: u8 = 1 << 4;
const BUTTONS: u8 = LEFT | RIGHT | MIDDLE | BACK | FORWARD;

/// The buttons of a mouse that are held down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MouseButtons {
    /// Button 1.
    pub left: bool,
    /// Button 2.
    pub right: bool,
    /// Button 3, the wheel.
    pub middle: bool,
    /// Button 4: seen by guests that ask for five buttons.
    pub back: bool,
    /// Button 5: as button 4.
    pub forward: bool,
}

impl MouseButtons {
    const fn bits(self) -> u8 {
        let Self {
            left,
            right,
            middle,
            back,
            forward,
        } = self;
        left as u8
            | (right as u8) << 1
            | (middle as u8) << 2
            | (back as u8) << 3
            | (forward as u8) << 4
    }
}

/// The form of the reports, which the driver chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    /// Three bytes, three buttons.
    Standard,
    /// Four bytes, with the wheel.
    Wheel,
    /// Four bytes, with the wheel and five buttons.
    FiveButtons,
}

impl Form {
    /// The device id that goes with it.
    pub(super) const fn id(self) -> u8 {
        match self {
            Self::Standard => 0,
            Self::Wheel => 3,
            Self::FiveButtons => 4,
        }
    }

    const fn has_wheel(self) -> bool {
        match self {
            Self::Standard => false,
            Self::Wheel | Self::FiveButtons => true,
        }
    }

    const fn buttons(self) -> u8 {
        match self {
            Self::Standard | Self::Wheel => LEFT | RIGHT | MIDDLE,
            Self::FiveButtons => BUTTONS,
        }
    }
}

/// Scaling of the counts in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Scaling {
    /// As counted.
    Linear,
    /// 2:1, with small counts as they are.
    Double,
}

/// Movement since the last report, and buttons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Motion {
    x: i16,
    y: i16,
    wheel: i8,
    held: u8,
    /// Pressed since the last report, even if released again: no click is lost between two reports.
    pressed: u8,
    /// The buttons of the last report; `None` when it did not arrive whole.
    told: Option<u8>,
}

impl Motion {
    pub(super) const fn new() -> Self {
        Self {
            x: 0,
            y: 0,
            wheel: 0,
            held: 0,
            pressed: 0,
            told: Some(0),
        }
    }

    /// Checks one that was saved.
    pub(super) fn check(&self) -> Result<(), BadState> {
        BadState::unless(
            self.x.unsigned_abs() <= MAX_COUNTS.unsigned_abs()
                && self.y.unsigned_abs() <= MAX_COUNTS.unsigned_abs()
                && self.wheel.unsigned_abs() <= MAX_STEPS.unsigned_abs(),
            "the mouse has counted further than it does",
        )?;
        let buttons = self.held | self.pressed | self.told.unwrap_or(0);
        BadState::unless(
            buttons & !BUTTONS == 0,
            "the mouse has more buttons than five",
        )
    }

    /// Forgets movement and reports; the buttons stay as they are held.
    pub(super) fn reset(&mut self) {
        *self = Self {
            held: self.held,
            ..Self::new()
        };
    }

    /// Counts a movement: to the right, upwards, and wheel steps towards the user.
    pub(super) fn count(&mut self, right: i32, up: i32, wheel: i32) {
        self.x = add(self.x, right, MAX_COUNTS);
        self.y = add(self.y, up, MAX_COUNTS);
        self.wheel = add(self.wheel.into(), wheel, MAX_STEPS.into()) as i8;
    }

    pub(super) fn set_buttons(&mut self, buttons: MouseButtons) {
        let held = buttons.bits();
        self.pressed |= held & !self.held;
        self.held = held;
    }

    /// Returns the left (bit 2), middle (bit 1) and right button (bit 0), as the status has them.
    pub(super) const fn status_buttons(&self) -> u8 {
        (self.held & LEFT) << 2 | (self.held & MIDDLE) >> 1 | (self.held & RIGHT) >> 1
    }

    /// Sets the counters to zero.
    pub(super) fn clear_counters(&mut self) {
        (self.x, self.y, self.wheel, self.pressed) = (0, 0, 0, 0);
    }

    /// Makes the buttons news again: the report that had them was cut short.
    pub(super) fn tell_buttons_again(&mut self) {
        self.told = None;
    }

    /// Returns whether there is something to report.
    pub(super) fn has_news(&self, form: Form) -> bool {
        let shown = self.held | self.pressed;
        self.x != 0
            || self.y != 0
            || (form.has_wheel() && self.wheel != 0)
            || self
                .told
                .is_none_or(|told| (told ^ shown) & form.buttons() != 0)
    }

    /// Makes a report and takes its counts off. Counts that do not fit stay for the next one.
    pub(super) fn take_report(&mut self, form: Form, scaling: Scaling) -> Ring<4> {
        let shown = core::mem::take(&mut self.pressed) | self.held;
        self.told = Some(shown);
        // An axis at its bound has lost counts, or is about to.
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let overflow = bit(is_at_bound(self.x), X_OVERFLOW) | bit(is_at_bound(self.y), Y_OVERFLOW);
        let (x, y) = (take(&mut self.x, scaling), take(&mut self.y, scaling));
        let sign = bit(x < 0, X_SIGN) | bit(y < 0, Y_SIGN);
        let wheel = self.wheel.clamp(MIN_REPORTED_STEPS, MAX_REPORTED_STEPS);
        self.wheel = if form.has_wheel() {
            self.wheel.saturating_sub(wheel)
        } else {
            0
        };

        let mut report = Ring::new();
        report.push(overflow | sign | ALWAYS_ONE | shown & (LEFT | RIGHT | MIDDLE));
        report.push(x as u8);
        report.push(y as u8);
        match form {
            Form::Standard => {}
            Form::Wheel => {
                report.push(wheel as u8);
            }
            Form::FiveButtons => {
                report.push(wheel as u8 & 0xf | (shown & (BACK | FORWARD)) << 1);
            }
        }
        report
    }
}

/// Adds to a counter that stays between `-max` and `max`.
fn add(counter: i16, counts: i32, max: i16) -> i16 {
    let max = i32::from(max);
    i32::from(counter).saturating_add(counts).clamp(-max, max) as i16
}

fn is_at_bound(counter: i16) -> bool {
    counter.unsigned_abs() >= MAX_COUNTS.unsigned_abs()
}

/// Takes off a counter what goes into one report; returns it as it is reported.
fn take(counter: &mut i16, scaling: Scaling) -> i16 {
    let max = match scaling {
        Scaling::Linear => MAX_REPORTED,
        Scaling::Double => MAX_DOUBLED,
    };
    let counts = (*counter).clamp(-max, max);
    *counter = counter.saturating_sub(counts);
    match scaling {
        Scaling::Linear => counts,
        Scaling::Double => double(counts),
    }
}

/// Scaling 2:1: small counts have values of their own.
const fn double(counts: i16) -> i16 {
    let size = match counts.abs() {
        2 => 1,
        size @ ..=3 => size,
        4 => 6,
        5 => 9,
        size => size * 2,
    };
    size * counts.signum()
}
