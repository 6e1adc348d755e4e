//! A machine of plain memory, driven a turn of the loop at a time: runs VMs under `cargo test`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "for tests only: a panic is a test that failed"
)]

mod exits;
mod host;
mod machine;

pub use exits::*;
pub use host::*;
pub use machine::*;
