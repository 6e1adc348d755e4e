//! Tests of what drivers expect of the HPET.

use super::*;

fn write(hpet: &mut Hpet, at: u64, value: u64) {
    hpet.write(at, Width::Qword, value).expect("a register");
}

fn read(hpet: &mut Hpet, at: u64) -> u64 {
    hpet.read(at, Width::Qword).expect("a register")
}

fn at(hpet: &mut Hpet, ns: u64) {
    hpet.advance(Instant::from_ns(ns));
}

fn pulse(pin: u8) -> Option<HpetEvent> {
    Some(HpetEvent {
        pin,
        signal: HpetSignal::Pulse,
    })
}

#[test]
fn capabilities_name_the_period_and_three_timers() {
    let mut hpet = Hpet::new();
    let capabilities = read(&mut hpet, 0);
    assert_eq!(capabilities >> 32, 10_000_000);
    assert_eq!(capabilities >> 8 & 0x1f, 2);
    assert_eq!(hpet.read(4, Width::Dword), Ok(10_000_000));
}

#[test]
fn the_counter_runs_only_while_enabled() {
    let mut hpet = Hpet::new();
    at(&mut hpet, 1000);
    assert_eq!(read(&mut hpet, COUNTER_AT), 0);
    write(&mut hpet, COUNTER_AT, 7);
    write(&mut hpet, CONFIG_AT, 1);
    at(&mut hpet, 2000);
    assert_eq!(read(&mut hpet, COUNTER_AT), 107);
    write(&mut hpet, CONFIG_AT, 0);
    at(&mut hpet, 3000);
    assert_eq!(read(&mut hpet, COUNTER_AT), 107);
}

#[test]
fn a_one_shot_edge_pulses_once_at_its_deadline() {
    let mut hpet = Hpet::new();
    write(&mut hpet, CONFIG_AT, 1);
    write(&mut hpet, 0x100, 20 << 9 | 1 << 2);
    write(&mut hpet, 0x108, 500);
    assert_eq!(hpet.deadline(), Some(Instant::from_ns(5000)));
    at(&mut hpet, 4999);
    assert_eq!(hpet.take_event(), None);
    at(&mut hpet, 5000);
    assert_eq!(hpet.take_event(), pulse(20));
    at(&mut hpet, 1_000_000);
    assert_eq!(hpet.take_event(), None);
}

#[test]
fn a_periodic_timer_in_legacy_replacement_ticks_at_irq_0() {
    let mut hpet = Hpet::new();
    write(&mut hpet, 0x100, 1 << 2 | 1 << 3 | 1 << 6);
    write(&mut hpet, 0x108, 100_000);
    write(&mut hpet, 0x108, 100_000);
    write(&mut hpet, CONFIG_AT, 3);
    assert!(hpet.is_legacy_replacement());
    for tick in 1..10 {
        assert_eq!(hpet.deadline(), Some(Instant::from_ns(tick * 1_000_000)));
        at(&mut hpet, tick * 1_000_000);
        assert_eq!(hpet.take_event(), pulse(2));
    }
    at(&mut hpet, 1_000_000_000_500);
    assert_eq!(hpet.take_event(), pulse(2));
    assert_eq!(hpet.take_event(), None);
    assert_eq!(hpet.deadline(), Some(Instant::from_ns(1_000_001_000_000)));
}

#[test]
fn a_level_stands_until_its_status_is_cleared() {
    let mut hpet = Hpet::new();
    write(&mut hpet, CONFIG_AT, 1);
    write(&mut hpet, 0x120, 21 << 9 | 1 << 2 | 1 << 1);
    write(&mut hpet, 0x128, 10);
    at(&mut hpet, 100);
    let hold = |level| {
        Some(HpetEvent {
            pin: 21,
            signal: HpetSignal::Hold(level),
        })
    };
    assert_eq!(hpet.take_event(), hold(Level::High));
    assert_eq!(hpet.level(1), Level::High);
    assert_eq!(hpet.take_event(), None);
    write(&mut hpet, STATUS_AT, 2);
    assert_eq!(hpet.take_event(), hold(Level::Low));
}

#[test]
fn no_access_panics_or_hangs() {
    let mut hpet = Hpet::new();
    let mut seed = 3u64;
    for step in 0..50_000u64 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        at(&mut hpet, step << (seed >> 59));
        let offset =
            [0x10, 0x20, 0xf0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148][(seed >> 16) as usize % 9];
        let _ = hpet.write(offset, Width::Qword, seed.rotate_left(17));
        let _ = hpet.write(offset + 4, Width::Dword, seed >> 5);
        let _ = (hpet.read(seed >> 52, Width::Dword), hpet.deadline());
        let mut events = 0;
        while hpet.take_event().is_some() {
            events += 1;
        }
        assert!(events <= 8);
    }
    at(&mut hpet, u64::MAX);
    let _ = hpet.deadline();
}
