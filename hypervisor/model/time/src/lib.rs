//! Points in time, the TSC as a clock, deadlines that others may move.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod clock;
mod deadline;
mod instant;

pub use clock::Clock;
pub use deadline::{Deadline, earliest};
pub use instant::Instant;
