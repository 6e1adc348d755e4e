//! What `cargo xtask` is made of, as a library: the machine tests use the same image, guests and beds.
//!
//! One concept a module. The pieces others call: [`image::build`], [`guest::fetch`], [`build::caisson`],
//! [`bed::qemu::start`], [`bed::bochs::start`] and the [`bed::Machine`] they return.
//!
//! `cargo xtask test` and `bench` run the program `machine-tests` like this, and print what it prints:
//!
//! ```text
//! machine-tests test [FILTER] [--all] [--bed BED]...     last line: N passed, N failed; status 1 if one failed
//! machine-tests bench                                    one table; target/bench.json
//! ```
//!
//! Both find what was built for them in `CAISSON_ELF`, `CAISSON_LOADER` (files) and `CAISSON_TEST_GUESTS` (a folder).
#![forbid(unsafe_code)]

pub mod bed;
pub mod bench;
pub mod build;
pub mod check;
pub mod command;
pub mod flash;
pub mod fuzz;
pub mod guest;
pub mod image;
pub mod need;
pub mod paths;
pub mod procs;
pub mod run;
pub mod setup;
pub mod terminal;
pub mod test;
pub mod toolchain;
pub mod ui;
