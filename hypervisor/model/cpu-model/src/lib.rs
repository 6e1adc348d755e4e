//! The CPU a guest sees: CPUID, MSRs, XCR0.
#![no_std]
#![forbid(unsafe_code)]
