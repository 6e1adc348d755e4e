//! Output that a guest may send to the operator's terminal, and what is kept of it.
//!
//! A guest prints any bytes. [`Confined`] lets through what only changes the picture (text, cursor movement, colours, erasing,
//! scrolling) in a form of its own making, knows what must be put back when the picture is left, and drops the rest:
//! titles, clipboards, answerbacks, resets, printing, window operations, and every sequence that was not finished.
//! [`Scrollback`] keeps the last of it; [`Keys`] takes apart what an operator types.
//!
//! Follows ECMA-48 and the VT220 programmer's reference, as xterm reads them (XTerm Control Sequences).
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod attributes;
mod confine;
mod keys;
mod modes;
mod scrollback;
mod sequence;
#[cfg(test)]
mod tests;

pub use attributes::{Attributes, Colour, Sgr, Style};
pub use confine::{Confined, Sink};
pub use keys::{Key, Keys, Press};
pub use modes::Modes;
pub use scrollback::{Scrollback, plain_text};
