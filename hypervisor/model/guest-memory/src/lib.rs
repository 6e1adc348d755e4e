//! Guest RAM behind copies and atomics; no reference into it ever exists.
#![no_std]
#![forbid(unsafe_code)]
