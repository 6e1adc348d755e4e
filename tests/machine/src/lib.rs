//! Machine tests: the real image boots in emulators of either vendor, and its serial port is read.
//!
//! A [`boot::Boot`] is one start of a machine and holds many tests, because firmware takes seconds each time. What is done and
//! looked for stands in [`stories`]; [`suite`] lists all boots; [`runner`] runs them, two at a time. [`mod@bench`] measures.
#![forbid(unsafe_code)]

pub mod beds;
pub mod bench;
pub mod boot;
pub mod compat;
pub mod config;
pub mod forms;
pub mod lines;
pub mod parts;
pub mod runner;
pub mod screen;
pub mod stories;
pub mod suite;
pub mod test_machine;
