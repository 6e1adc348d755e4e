//! The four address spaces of a virtualized machine, as types.
#![no_std]
#![forbid(unsafe_code)]
