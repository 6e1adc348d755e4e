//! Whole-register stories of the local APIC.

use super::*;
use crate::message::{BROADCAST, Delivery, DestinationMode, Trigger};

pub(super) fn enabled() -> LocalApic {
    let mut apic = LocalApic::new(0, true);
    write(&mut apic, 0xf0, 0x1ff);
    apic
}

fn x2apic() -> LocalApic {
    let mut apic = enabled();
    let base = apic.read_msr(msr::IA32_APIC_BASE).expect("a base");
    apic.write_msr(msr::IA32_APIC_BASE, base | BASE_X2APIC)
        .expect("xAPIC to x2APIC");
    apic
}

fn write(apic: &mut LocalApic, at: u64, value: u32) {
    apic.write(at, Width::Dword, u64::from(value))
        .expect("a register");
}

fn read(apic: &mut LocalApic, at: u64) -> u32 {
    apic.read(at, Width::Dword).expect("a register") as u32
}

#[test]
fn a_fresh_apic_identifies_itself_and_masks_everything() {
    let mut apic = LocalApic::new(5, false);
    assert_eq!(read(&mut apic, 0x20), 5 << 24);
    assert_eq!(read(&mut apic, 0x30), 0x0005_0014);
    assert_eq!(read(&mut apic, 0x350), LVT_MASKED);
    assert!(!apic.accept(Vector(0x40), Trigger::Edge));
}

#[test]
fn the_timer_fires_its_vector() {
    let mut apic = enabled();
    write(&mut apic, 0x320, 0xec);
    write(&mut apic, 0x3e0, 0xb);
    write(&mut apic, 0x380, 1_000_000);
    assert_eq!(apic.deadline(), Some(Instant::from_ns(1_000_000)));
    apic.advance(Instant::from_ns(400_000));
    assert_eq!(read(&mut apic, 0x390), 600_000);
    apic.advance(Instant::from_ns(1_000_000));
    assert_eq!(apic.highest_ready(), Some(Vector(0xec)));
    assert_eq!(apic.deadline(), None);
}

#[test]
fn a_tsc_deadline_fires_once_and_reads_zero() {
    let mut apic = x2apic();
    apic.write_tsc_deadline(77, Some(Instant::from_ns(5)));
    assert_eq!(apic.deadline(), None);
    apic.write_msr(0x832, 0x4_00ec).expect("LVT timer");
    apic.write_tsc_deadline(77, Some(Instant::from_ns(5)));
    assert_eq!(apic.read_msr(msr::IA32_TSC_DEADLINE), Ok(77));
    apic.advance(Instant::from_ns(5));
    assert_eq!(apic.highest_ready(), Some(Vector(0xec)));
    assert_eq!(apic.read_msr(msr::IA32_TSC_DEADLINE), Ok(0));
    assert_eq!(apic.deadline(), None);
}

#[test]
fn writing_zero_disarms_the_tsc_deadline() {
    let mut apic = x2apic();
    apic.write_msr(0x832, 0x4_00ec).expect("LVT timer");
    apic.write_tsc_deadline(77, Some(Instant::from_ns(5)));
    apic.write_tsc_deadline(0, Some(Instant::from_ns(0)));
    assert_eq!(apic.deadline(), None);
}

#[test]
fn a_masked_timer_fires_nothing() {
    let mut apic = enabled();
    write(&mut apic, 0x320, LVT_MASKED | 0xec);
    write(&mut apic, 0x380, 1000);
    assert_eq!(apic.deadline(), None);
    apic.advance(Instant::from_ns(1_000_000));
    assert_eq!(apic.highest_ready(), None);
}

#[test]
fn an_ipi_leaves_with_its_destination() {
    let mut apic = enabled();
    write(&mut apic, 0x310, 3 << 24);
    assert_eq!(apic.take_ipi(), None);
    write(&mut apic, 0x300, 0x4500);
    let ipi = apic.take_ipi().expect("INIT");
    assert_eq!(
        (ipi.message.destination, ipi.message.delivery),
        (3, Delivery::Init)
    );
    write(&mut apic, 0x300, 0x8500);
    assert_eq!(apic.take_ipi(), None);
    write(&mut apic, 0x300, 0x4608);
    let ipi = apic.take_ipi().expect("start-up");
    assert_eq!(
        (ipi.message.delivery, ipi.message.vector),
        (Delivery::StartUp, Vector(8))
    );
    write(&mut apic, 0x310, 0xff00_0000);
    write(&mut apic, 0x300, 0x40fd);
    assert_eq!(
        apic.take_ipi().map(|ipi| ipi.message.destination),
        Some(BROADCAST)
    );
}

#[test]
fn shorthands_and_self_ipis_stay_apart() {
    let mut apic = x2apic();
    apic.write_msr(0x830, 0xc_00fd).expect("ICR");
    assert_eq!(
        apic.take_ipi().map(|ipi| ipi.shorthand),
        Some(Shorthand::AllButSelf)
    );
    apic.write_msr(0x830, 0x4_0051).expect("ICR");
    assert_eq!(apic.take_ipi(), None);
    assert_eq!(apic.highest_ready(), Some(Vector(0x51)));
    apic.write_msr(0x83f, 0x61).expect("self IPI");
    assert_eq!(apic.highest_ready(), Some(Vector(0x61)));
}

#[test]
fn an_x2apic_ipi_has_a_wide_destination() {
    let mut apic = x2apic();
    apic.write_msr(0x830, 0x0002_0001_0000_08fd).expect("ICR");
    let message = apic.take_ipi().expect("an IPI").message;
    assert_eq!(
        (message.destination, message.mode),
        (0x0002_0001, DestinationMode::Logical)
    );
}

#[test]
fn mode_changes_follow_the_manual() {
    let gp = Err(GeneralProtection);
    let at = APIC_DEFAULT_BASE.raw();
    let mut apic = LocalApic::new(0, true);
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, at | BASE_X2APIC), gp);
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, at | 1), gp);
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, at), Ok(()));
    let both = at | BASE_ENABLED | BASE_X2APIC;
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, both), gp);
    assert_eq!(
        apic.write_msr(msr::IA32_APIC_BASE, at | BASE_ENABLED),
        Ok(())
    );
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, both), Ok(()));
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, at | BASE_ENABLED), gp);
    assert_eq!(apic.write_msr(msr::IA32_APIC_BASE, at), Ok(()));
    assert_eq!(apic.window(), None);
    assert!(apic.accepts_ext_int());
}

#[test]
fn x2apic_registers_fault_where_the_manual_says() {
    let mut apic = enabled();
    assert_eq!(apic.read_msr(0x802), Err(GeneralProtection));
    let mut apic2 = x2apic();
    assert_eq!(apic2.read_msr(0x802), Ok(0));
    assert_eq!(apic2.read_msr(0x80d), Ok(1));
    for unreadable in [
        0x800, 0x80b, 0x80e, 0x82f, 0x831, 0x83f, 0x8ff, 0x900, 0x7ff,
    ] {
        assert_eq!(
            apic2.read_msr(unreadable),
            Err(GeneralProtection),
            "{unreadable:#x}"
        );
    }
    for (index, value) in [
        (0x80b, 1),
        (0x828, 1),
        (0x802, 0),
        (0x808, 0x100),
        (0x80b, 1 << 32),
        (0x830, 1 << 13),
        (0x839, 0),
    ] {
        assert_eq!(
            apic2.write_msr(index, value),
            Err(GeneralProtection),
            "{index:#x}"
        );
    }
    assert_eq!(apic2.write_msr(0x80b, 0), Ok(()));
    assert!(apic2.read(0x20, Width::Dword).is_err());
    assert_eq!(apic.write_msr(0x80b, 0), Err(GeneralProtection));
}

#[test]
fn switching_off_by_svr_masks_the_lvt() {
    let mut apic = enabled();
    write(&mut apic, 0x350, 0x700);
    assert!(apic.accepts_ext_int());
    write(&mut apic, 0xf0, 0xff);
    assert!(!apic.accepts_ext_int());
    write(&mut apic, 0x350, 0x700);
    assert_eq!(read(&mut apic, 0x350), LVT_MASKED | 0x700);
    apic.enter_virtual_wire();
    assert!(apic.accepts_ext_int() && apic.accepts_nmi_lint1());
}

#[test]
fn an_unknown_register_is_an_error_that_a_write_to_esr_reveals() {
    let mut apic = enabled();
    assert_eq!(read(&mut apic, 0x2f0), 0);
    assert_eq!(read(&mut apic, 0x280), 0);
    write(&mut apic, 0x280, 0);
    assert_eq!(read(&mut apic, 0x280), ERROR_REGISTER);
    write(&mut apic, 0x280, 0);
    assert_eq!(read(&mut apic, 0x280), 0);
}

#[test]
fn no_access_panics() {
    let mut seed = 7u64;
    let mut apic = LocalApic::new(0x1_0003, true);
    for step in 0..100_000u64 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        apic.advance(Instant::from_ns(step << (seed >> 60)));
        let at = seed >> 20 & 0xfff;
        let _ = apic.write(at, Width::Dword, seed >> 32);
        let _ = apic.write_msr(0x800 + (seed >> 24 & 0xff) as u32, seed >> 40);
        let _ = apic.write_msr(msr::IA32_APIC_BASE, seed & 0xfee0_0d00);
        let _ = (
            apic.read(at, Width::Byte),
            apic.read(at, Width::Qword),
            apic.deadline(),
        );
        if let Some(vector) = apic.highest_ready() {
            apic.acknowledge(vector);
        }
        let _ = (apic.take_ipi(), apic.take_eoi());
    }
}
