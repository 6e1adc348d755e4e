//! What drivers expect of the keyboard controller.

use super::*;

fn command(kbc: &mut I8042, value: u8) {
    kbc.write(I8042_COMMAND_PORT, Width::Byte, u32::from(value))
        .expect("0x64");
}

fn data(kbc: &mut I8042, value: u8) {
    kbc.write(I8042_DATA_PORT, Width::Byte, u32::from(value))
        .expect("0x60");
}

fn status(kbc: &mut I8042) -> u8 {
    kbc.read(I8042_COMMAND_PORT, Width::Byte).expect("0x64") as u8
}

fn read(kbc: &mut I8042) -> Option<u8> {
    let is_full = status(kbc) & STATUS_OUTPUT_FULL != 0;
    is_full.then(|| kbc.read(I8042_DATA_PORT, Width::Byte).expect("0x60") as u8)
}

/// Waits long enough for the next keyboard byte.
fn wait(kbc: &mut I8042) {
    kbc.advance(kbc.now.after_ns(BYTE_NS));
}

#[test]
fn the_self_test_passes() {
    let mut kbc = I8042::new();
    command(&mut kbc, 0xaa);
    assert_eq!(read(&mut kbc), Some(0x55));
    command(&mut kbc, 0xab);
    assert_eq!(read(&mut kbc), Some(0));
    assert_eq!(read(&mut kbc), None);
}

#[test]
fn the_mouse_port_says_no_at_once() {
    let mut kbc = I8042::new();
    command(&mut kbc, 0xd3);
    data(&mut kbc, 0x5a);
    assert_eq!(status(&mut kbc) & STATUS_AUX, 0);
    assert_eq!(read(&mut kbc), Some(0x5a));
    command(&mut kbc, 0xa9);
    assert_eq!(read(&mut kbc), Some(1));
    command(&mut kbc, 0xd4);
    data(&mut kbc, 0xff);
    assert_eq!(status(&mut kbc) & (STATUS_AUX | STATUS_TIMEOUT), 0x60);
    assert_eq!(read(&mut kbc), Some(0xfe));
}

#[test]
fn the_keyboard_answers_reset_and_identify() {
    let mut kbc = I8042::new();
    data(&mut kbc, 0xff);
    assert_eq!(read(&mut kbc), Some(0xfa));
    assert_eq!(kbc.deadline(), Some(Instant::from_ns(BYTE_NS)));
    wait(&mut kbc);
    assert_eq!(read(&mut kbc), Some(0xaa));
    wait(&mut kbc);
    data(&mut kbc, 0xf2);
    let mut bytes = [0; 3];
    for byte in &mut bytes {
        *byte = read(&mut kbc).expect("a byte");
        wait(&mut kbc);
    }
    // 0x83 is translated to 0x41, as on a PC.
    assert_eq!(bytes, [0xfa, 0xab, 0x41]);
}

#[test]
fn keys_are_translated_and_interrupt() {
    let mut kbc = I8042::new();
    assert!(kbc.key(0x1c) && kbc.key(0xf0) && kbc.key(0x1c));
    assert_eq!(kbc.line(), Level::High);
    assert_eq!(read(&mut kbc), Some(0x1e));
    assert_eq!(kbc.line(), Level::Low);
    wait(&mut kbc);
    assert_eq!(kbc.line(), Level::High);
    assert_eq!(read(&mut kbc), Some(0x9e));
}

#[test]
fn pulsing_the_reset_line_asks_for_a_reset() {
    let mut kbc = I8042::new();
    command(&mut kbc, 0xff);
    assert_eq!(kbc.take_request(), None);
    command(&mut kbc, 0xfe);
    assert_eq!(kbc.take_request(), Some(PowerRequest::Reset));
    command(&mut kbc, 0xd1);
    data(&mut kbc, 0xce);
    assert_eq!(kbc.take_request(), Some(PowerRequest::Reset));
}

#[test]
fn the_mode_byte_reads_back_and_masks_the_interrupt() {
    let mut kbc = I8042::new();
    command(&mut kbc, 0x60);
    data(&mut kbc, 0x30);
    command(&mut kbc, 0x20);
    assert_eq!(kbc.line(), Level::Low);
    assert_eq!(read(&mut kbc), Some(0x30));
}

#[test]
fn no_sequence_panics() {
    let mut kbc = I8042::new();
    for round in 0..=255u8 {
        for value in 0..=255u8 {
            command(&mut kbc, value);
            data(&mut kbc, value ^ round);
            kbc.key(round);
            read(&mut kbc);
            wait(&mut kbc);
        }
    }
}
