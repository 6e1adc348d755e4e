//! Executes the one instruction that touched a device.
#![no_std]
#![forbid(unsafe_code)]
