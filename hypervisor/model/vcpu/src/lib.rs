//! What a virtual CPU is to the VMM: its state, its exits, their answers.
#![no_std]
#![forbid(unsafe_code)]
