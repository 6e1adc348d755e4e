//! The hypervisor image: entry, panic, choice of vendor.
#![no_std]
#![forbid(unsafe_code)]
