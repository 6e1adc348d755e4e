//! One physical CPU: descriptor tables, exceptions, per-CPU data.
#![no_std]
#![forbid(unsafe_code)]
