//! Fuzz targets: one module a parser. Each takes good inputs, has them damaged, and states what must hold whatever they have
//! become.
//!
//! The inputs are made by proptest, so this runs with any Rust, and what fails is made small before it is shown and is tried
//! first from then on (`proptest-regressions`). `cargo xtask fuzz` runs long, `cargo test -p fuzz` for a moment.
#![forbid(unsafe_code)]

#[cfg(test)]
mod damage;
#[cfg(test)]
mod guest_boot;
#[cfg(test)]
mod vm_spec;
