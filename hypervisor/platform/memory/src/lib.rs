//! Physical memory: frames, page tables, the heap, guest RAM.
#![no_std]
#![forbid(unsafe_code)]
