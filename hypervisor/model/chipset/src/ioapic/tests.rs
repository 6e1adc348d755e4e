//! Tests of what drivers and devices expect of the IOAPIC.

use super::*;
use device::tamper::refuses;

fn program(ioapic: &mut IoApic, pin: u8, low: u32) {
    ioapic
        .write(IOREGSEL, Width::Dword, u64::from(0x10 + pin * 2))
        .expect("IOREGSEL");
    ioapic
        .write(IOWIN, Width::Dword, u64::from(low))
        .expect("IOWIN");
}

fn entry(ioapic: &mut IoApic, index: u8) -> u32 {
    ioapic
        .write(IOREGSEL, Width::Byte, u64::from(index))
        .expect("IOREGSEL");
    ioapic.read(IOWIN, Width::Dword).expect("IOWIN") as u32
}

#[test]
fn level_interrupt_survives_masking() {
    let mut ioapic = IoApic::new();
    program(&mut ioapic, 9, ENTRY_MASKED | ENTRY_LEVEL | 0x31);
    ioapic.set_pin(9, Level::High);
    assert_eq!(ioapic.next_message(), None);
    program(&mut ioapic, 9, ENTRY_LEVEL | 0x31);
    assert_eq!(
        ioapic.next_message().map(|m| (m.vector, m.trigger)),
        Some((Vector(0x31), Trigger::Level))
    );
    assert_eq!(ioapic.next_message(), None);
}

#[test]
fn a_level_still_high_at_eoi_comes_again() {
    let mut ioapic = IoApic::new();
    program(&mut ioapic, 9, ENTRY_LEVEL | 0x31);
    ioapic.set_pin(9, Level::High);
    assert!(ioapic.next_message().is_some());
    assert_ne!(entry(&mut ioapic, 0x22) & ENTRY_REMOTE_IRR, 0);
    ioapic.end_of_interrupt(Vector(0x32));
    assert_eq!(ioapic.next_message(), None);
    ioapic.end_of_interrupt(Vector(0x31));
    assert!(ioapic.next_message().is_some());
    ioapic.set_pin(9, Level::Low);
    ioapic.write(EOI, Width::Dword, 0x31).expect("EOI");
    assert_eq!(ioapic.next_message(), None);
}

#[test]
fn an_edge_is_one_message_and_a_masked_edge_none() {
    let mut ioapic = IoApic::new();
    ioapic.pulse(4);
    program(&mut ioapic, 4, 0x24);
    assert_eq!(ioapic.next_message(), None);
    ioapic.pulse(4);
    ioapic.set_pin(4, Level::High);
    assert!(ioapic.next_message().is_some());
    assert_eq!(ioapic.next_message(), None);
    ioapic.set_pin(4, Level::High);
    assert_eq!(ioapic.next_message(), None);
    ioapic.set_pin(4, Level::Low);
    ioapic.set_pin(4, Level::High);
    assert!(ioapic.next_message().is_some());
}

#[test]
fn version_says_24_pins() {
    let mut ioapic = IoApic::new();
    assert_eq!(entry(&mut ioapic, 1), 0x0017_0020);
    assert_eq!(entry(&mut ioapic, 0x10), ENTRY_MASKED);
    assert_eq!(entry(&mut ioapic, 0xff), 0);
    assert_eq!(entry(&mut ioapic, 0x05), 0);
}

#[test]
fn nothing_a_guest_writes_makes_it_endless() {
    let mut ioapic = IoApic::new();
    for index in 0..=255u64 {
        ioapic
            .write(IOREGSEL, Width::Dword, index)
            .expect("IOREGSEL");
        ioapic
            .write(IOWIN, Width::Dword, 0xfffe_ffff)
            .expect("IOWIN");
        let _ = ioapic.read(IOWIN, Width::Dword);
    }
    for pin in 0..=255 {
        ioapic.set_pin(pin, Level::High);
    }
    let mut count = 0;
    while ioapic.next_message().is_some() {
        count += 1;
    }
    assert!(count <= 24);
}

#[test]
fn the_extended_destination_and_the_broadcast_are_decoded() {
    let mut ioapic = IoApic::new();
    ioapic
        .write(IOREGSEL, Width::Dword, 0x15)
        .expect("IOREGSEL");
    ioapic
        .write(IOWIN, Width::Dword, 0x0104_0000)
        .expect("IOWIN");
    program(&mut ioapic, 2, 0x30);
    ioapic.pulse(2);
    assert_eq!(ioapic.next_message().map(|m| m.destination), Some(0x201));
}

#[test]
fn what_no_ioapic_was_is_refused() {
    let mut ioapic = IoApic::new();
    ioapic.write_low(3, ENTRY_LEVEL | 0x30);
    assert!(!refuses(&ioapic, |state| (state.edges, state.remote_irr) = (1, 8)));
    assert!(refuses(&ioapic, |state| state.id = 0x10));
    assert!(refuses(&ioapic, |state| state.low[0] |= ENTRY_REMOTE_IRR));
    assert!(refuses(&ioapic, |state| state.high[0] = 1));
    assert!(
        refuses(&ioapic, |state| state.edges = 1 << 24),
        "no such pin"
    );
    assert!(refuses(&ioapic, |state| state.edges = 8), "a level");
    assert!(refuses(&ioapic, |state| state.remote_irr = 1), "an edge");
}
