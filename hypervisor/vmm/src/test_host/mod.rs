//! A machine of plain memory, driven a turn of the loop at a time: runs VMs under `cargo test`.

mod host;
mod machine;

pub use host::*;
pub use machine::*;
