//! Virtual machines: exits, devices, the CPU loop, the operator's shell.
#![no_std]
#![forbid(unsafe_code)]
