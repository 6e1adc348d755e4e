//! What the VMM needs of the machine it runs on.
#![no_std]
#![forbid(unsafe_code)]
