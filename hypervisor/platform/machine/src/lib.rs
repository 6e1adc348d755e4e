//! The physical machine as the VMM's host.
#![no_std]
#![forbid(unsafe_code)]
