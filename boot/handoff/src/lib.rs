//! What the loader leaves for the hypervisor image.
#![no_std]
#![forbid(unsafe_code)]
