//! Intel VT-x: the VMX vCPU.
#![no_std]
#![forbid(unsafe_code)]
