//! EFI/BOOT/BOOTX64.EFI: reads files, leaves boot services, jumps.
#![no_std]
#![forbid(unsafe_code)]
