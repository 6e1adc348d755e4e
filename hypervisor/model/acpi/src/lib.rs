//! The ACPI tables a guest reads.
#![no_std]
#![forbid(unsafe_code)]
