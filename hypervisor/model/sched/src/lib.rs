//! Which vCPU a physical CPU runs next.
#![no_std]
#![forbid(unsafe_code)]
