//! Tiny bare-metal guests, one behaviour each.
#![no_std]
#![forbid(unsafe_code)]
