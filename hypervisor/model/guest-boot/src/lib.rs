//! How a kernel image becomes memory writes and a start state.
#![no_std]
#![forbid(unsafe_code)]
