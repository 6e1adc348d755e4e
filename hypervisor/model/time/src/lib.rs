//! Points in time, the TSC as a clock and how TSCs compare, deadlines that others may move.
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
mod tsc_offset;

pub use clock::Clock;
pub use deadline::{Deadline, earliest};
pub use instant::Instant;
pub use tsc_offset::{TscExchange, TscOffset, TscVerdict};
