//! caisson.toml: what the operator asked for, checked.
#![no_std]
#![forbid(unsafe_code)]
