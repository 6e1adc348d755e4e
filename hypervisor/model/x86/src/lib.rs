//! The x86 architecture in names: registers, vectors, MSRs, descriptors.
#![no_std]
#![forbid(unsafe_code)]
