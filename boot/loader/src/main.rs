//! EFI/BOOT/BOOTX64.EFI: reads files, leaves boot services, jumps.

fn main() {}
