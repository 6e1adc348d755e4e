//! AMD-V: the SVM vCPU.
#![no_std]
#![forbid(unsafe_code)]
