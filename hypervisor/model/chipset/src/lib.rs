//! The chips of the virtual PC, each a value.
#![no_std]
#![forbid(unsafe_code)]
