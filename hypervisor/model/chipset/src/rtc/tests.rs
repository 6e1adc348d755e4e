//! Tests of what drivers expect of the clock.

use super::*;

/// 2026-11-22 12:36:42.
const EPOCH: u64 = 1_795_351_002;

fn rtc() -> Rtc {
    Rtc::new(
        EPOCH,
        CmosMemory {
            below_4g_bytes: 512 << 20,
            above_4g_bytes: 1 << 30,
        },
    )
}

fn read(rtc: &mut Rtc, index: u8) -> u8 {
    rtc.write(0, Width::Byte, u32::from(index)).expect("index");
    rtc.read(1, Width::Byte).expect("data") as u8
}

fn write(rtc: &mut Rtc, index: u8, value: u8) {
    rtc.write(0, Width::Byte, u32::from(index)).expect("index");
    rtc.write(1, Width::Byte, u32::from(value)).expect("data");
}

#[test]
fn the_time_shows_in_bcd_and_binary_12_and_24_hours() {
    let mut rtc = rtc();
    rtc.advance(Instant::from_ns(3 * NS_PER_S));
    assert_eq!(
        [9, 8, 7, 4, 2, 0, 0x32].map(|index| read(&mut rtc, index)),
        [0x26, 0x11, 0x22, 0x12, 0x36, 0x45, 0x20]
    );
    write(&mut rtc, REG_B, B_BINARY);
    assert_eq!(read(&mut rtc, 4), 0x80 | 12);
}

#[test]
fn setting_the_time_takes_effect_when_set_is_cleared() {
    let mut rtc = rtc();
    write(&mut rtc, REG_B, B_SET | B_24_HOURS);
    for (index, value) in [
        (9, 0x30),
        (8, 0x02),
        (7, 0x28),
        (4, 0x23),
        (2, 0x59),
        (0, 0x59),
    ] {
        write(&mut rtc, index, value);
    }
    rtc.advance(Instant::from_ns(10 * NS_PER_S));
    assert_eq!(read(&mut rtc, 0), 0x59);
    write(&mut rtc, REG_B, B_24_HOURS);
    rtc.advance(Instant::from_ns(11 * NS_PER_S));
    assert_eq!(
        [9, 8, 7, 0].map(|index| read(&mut rtc, index)),
        [0x30, 0x03, 0x01, 0]
    );
}

#[test]
fn an_update_interrupts_until_register_c_is_read() {
    let mut rtc = rtc();
    read(&mut rtc, REG_C);
    write(&mut rtc, REG_B, B_UPDATE | B_24_HOURS);
    assert_eq!(rtc.deadline(), Some(Instant::from_ns(NS_PER_S)));
    rtc.advance(Instant::from_ns(NS_PER_S));
    assert_eq!(rtc.line(), Level::High);
    assert_eq!(rtc.deadline(), None);
    assert_eq!(read(&mut rtc, REG_C) & (C_IRQ | UPDATE), C_IRQ | UPDATE);
    assert_eq!(rtc.line(), Level::Low);
}

#[test]
fn an_alarm_matches_its_second() {
    let mut rtc = rtc();
    for (index, value) in [(5, 0x12), (3, 0x40), (1, 0x05)] {
        write(&mut rtc, index, value);
    }
    write(&mut rtc, REG_B, ALARM | B_24_HOURS);
    let wait_s = 3 * 60 + 23;
    assert_eq!(rtc.deadline(), Some(Instant::from_ns(wait_s * NS_PER_S)));
    rtc.advance(Instant::from_ns((wait_s - 1) * NS_PER_S));
    assert_eq!(rtc.line(), Level::Low);
    rtc.advance(Instant::from_ns((wait_s + 100_000) * NS_PER_S));
    assert_eq!(rtc.line(), Level::High);
}

#[test]
fn the_periodic_interrupt_keeps_its_rate() {
    let mut rtc = rtc();
    write(&mut rtc, REG_A, 0x26);
    write(&mut rtc, REG_B, PERIODIC | B_24_HOURS);
    let mut count = 0;
    while let Some(at) = rtc.deadline().filter(|at| at.as_ns() <= NS_PER_S) {
        rtc.advance(at);
        assert_ne!(read(&mut rtc, REG_C) & PERIODIC, 0);
        count += 1;
    }
    assert_eq!(count, 1024);
}

#[test]
fn memory_size_stands_in_the_ram() {
    let mut rtc = rtc();
    let read2 = |rtc: &mut Rtc, at| u16::from_le_bytes([read(rtc, at), read(rtc, at + 1)]);
    assert_eq!(read2(&mut rtc, 0x15), 640);
    assert_eq!(read2(&mut rtc, 0x34), (512 - 16) * 16);
    assert_eq!(read2(&mut rtc, 0x5b), 16384);
    assert_eq!(read2(&mut rtc, 0x30), 0xffff);
}

#[test]
fn no_access_panics() {
    let mut rtc = rtc();
    for round in 0..=255u8 {
        for index in 0..=255u8 {
            write(&mut rtc, index, round ^ index.rotate_left(3));
            read(&mut rtc, index);
            let _ = rtc.deadline();
        }
        rtc.advance(Instant::from_ns(u64::from(round) << 56));
    }
}
