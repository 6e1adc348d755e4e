//! The physical local APIC and IOAPIC.
#![no_std]
#![forbid(unsafe_code)]
