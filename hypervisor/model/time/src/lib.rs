//! Points in time, the TSC as a clock, deadlines that others may move.
#![no_std]
#![forbid(unsafe_code)]

mod clock;
mod deadline;
mod instant;

pub use clock::Clock;
pub use deadline::{Deadline, earliest};
pub use instant::Instant;
