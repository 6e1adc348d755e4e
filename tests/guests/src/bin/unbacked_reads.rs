//! Physical memory where nothing lies reads all ones and forgets what is written.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::{Outcome, equal, guest, mmio};

guest!(test);

fn test() -> Outcome {
    // The PCI window, between IOAPIC and HPET, above the local APIC.
    for at in [0xc000_0000, 0xe123_4560, 0xfec8_0000, 0xfef0_0000] {
        equal("32 bits", mmio::read32(at).into(), 0xffff_ffff)?;
        equal("8 bits", mmio::read8(at + 3).into(), 0xff)?;
        equal("16 bits", mmio::read16(at + 6).into(), 0xffff)?;
        equal("64 bits", mmio::read64(at + 8), u64::MAX)?;
        mmio::write64(at, 0);
        mmio::write8(at, 0);
        equal("after a write", mmio::read64(at), u64::MAX)?;
    }
    Ok(())
}
