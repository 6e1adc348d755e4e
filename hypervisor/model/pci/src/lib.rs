//! PCI configuration space and its two doors.
#![no_std]
#![forbid(unsafe_code)]
