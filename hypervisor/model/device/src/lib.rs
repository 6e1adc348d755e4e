//! What a device model is: a value that takes accesses and answers questions.
#![no_std]
#![forbid(unsafe_code)]
