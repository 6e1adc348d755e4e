//! Tests of what drivers expect of the keyboard controller.

use super::output::BYTE_NS;
use super::*;
use alloc::vec::Vec;

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

/// Makes accesses, each a letter and two digits: `c` writes port 0x64, `d` writes port 0x60, `s` and
/// `b` read them and compare, `l` compares the levels of IRQ 1 and IRQ 12, and `w` waits for the next
/// byte of a device.
fn check(name: &str, accesses: &str) {
    let mut kbc = I8042::new();
    for access in accesses.split_whitespace() {
        let (what, value) = access.split_at(1);
        let value = u8::from_str_radix(value, 16).expect("two digits");
        let got = match what {
            "c" => {
                command(&mut kbc, value);
                continue;
            }
            "d" => {
                data(&mut kbc, value);
                continue;
            }
            "w" => {
                wait(&mut kbc);
                continue;
            }
            "s" => status(&mut kbc),
            "b" => kbc.read(I8042_DATA_PORT, Width::Byte).expect("0x60") as u8,
            "l" => {
                let mouse = u8::from(kbc.mouse_line().is_high());
                u8::from(kbc.line().is_high()) << 4 | mouse
            }
            _ => panic!("no such access: {access}"),
        };
        assert_eq!(got, value, "{name}: {got:#x} at {access}");
    }
}

#[test]
fn every_register_answers_as_the_table_says() {
    // Status: 0x14 is unlocked and self-tested, with 0x08 after a command, 0x01 when the output
    // buffer is full and 0x20 when its byte is from the mouse's port.
    let table = [
        ("at start", "s14 b00 l00"),
        ("read mode", "c20 s1d l10 b65 s1c"),
        ("write mode", "c60 s1c d47 s14 c20 b47"),
        ("mouse port off", "ca8 ca7 c20 b65"),
        ("mouse port on", "ca8 c20 b45"),
        ("mouse port test", "ca9 s1d b00"),
        ("self-test", "caa s1d b55 c20 b65"),
        ("keyboard port test", "cab s1d b00"),
        ("keyboard port off", "cad c20 b75"),
        ("keyboard port on", "cad cae c20 b65"),
        ("input port", "cc0 b80"),
        ("output port", "cd0 bcf cd1 d4f cd0 b4f"),
        ("output port with IRQ 1", "cd2 d01 cd0 b01 bdf"),
        ("output port with IRQ 12", "c60 d47 cd3 d01 cd0 b01 bef"),
        ("as from the keyboard", "cd2 d1e s15 l10 b1e l00 s14"),
        ("as from the mouse", "cd3 da5 s35 l00 ba5 s14"),
        ("the same with IRQ 12", "c60 d47 cd3 da5 s35 l01 ba5 l00"),
        ("to the mouse", "cd4 df2 s35 bfa s14 w00 s35 b00 w00 s14"),
        ("which switches its port on", "cd4 de6 bfa c20 b45"),
        (
            "the mouse's bytes interrupt",
            "c60 d47 cd4 df2 l01 bfa l00 w00 l01",
        ),
        ("mouse reset", "cd4 dff bfa w00 baa w00 s35 b00 w00 s14"),
        (
            "the last byte again",
            "cd2 d1e b1e b1e s14 dee b1e w00 s15 bee",
        ),
        (
            "a fifth answer is lost",
            "c20 caa cc0 cab c20 caa b65 b55 b80 b00 b65 b65",
        ),
    ];
    for (name, accesses) in table {
        check(name, accesses);
    }
}

#[test]
fn other_widths_and_ports_are_refused() {
    let mut kbc = I8042::new();
    for (at, width, refused) in [
        (I8042_DATA_PORT, Width::Word, Refused::WrongWidth),
        (I8042_DATA_PORT, Width::Dword, Refused::WrongWidth),
        (I8042_COMMAND_PORT, Width::Word, Refused::WrongWidth),
        (I8042_COMMAND_PORT, Width::Dword, Refused::WrongWidth),
        (0x61, Width::Byte, Refused::NoRegister),
        (0x63, Width::Byte, Refused::NoRegister),
    ] {
        assert_eq!(kbc.read(at, width), Err(refused));
        assert_eq!(kbc.write(at, width, 0xfe), Err(refused));
    }
    assert_eq!(kbc, I8042::new());
}

#[test]
fn an_empty_buffer_gives_its_last_byte_until_the_next_comes() {
    let mut kbc = I8042::new();
    assert!(kbc.key(0x1c) && kbc.key(0x32));
    let mut bytes = [0; 3];
    for byte in &mut bytes {
        *byte = kbc.read(I8042_DATA_PORT, Width::Byte).expect("0x60");
    }
    assert_eq!(bytes, [0x1e; 3]);
    wait(&mut kbc);
    assert_eq!(kbc.read(I8042_DATA_PORT, Width::Byte), Ok(0x30));
    // Reading an empty buffer again and again does not hold up the next byte.
    assert!(kbc.key(0x1c));
    for _ in 0..4 {
        kbc.advance(kbc.now.after_ns(BYTE_NS / 4));
        kbc.read(I8042_DATA_PORT, Width::Byte).expect("0x60");
    }
    assert_eq!(kbc.read(I8042_DATA_PORT, Width::Byte), Ok(0x1e));
}

/// Sends the mouse a command and reads all it answers.
fn mouse(kbc: &mut I8042, value: u8) -> Vec<u8> {
    command(kbc, 0xd4);
    data(kbc, value);
    let mut bytes = Vec::new();
    loop {
        wait(kbc);
        match read(kbc) {
            Some(byte) => bytes.push(byte),
            None => return bytes,
        }
    }
}

#[test]
fn keyboard_and_mouse_take_turns() {
    let mut kbc = I8042::new();
    assert_eq!(mouse(&mut kbc, 0xf4), [0xfa]);
    for _ in 0..3 {
        assert!(kbc.key(0x1c));
    }
    kbc.move_mouse(1, 2, 0);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let is_mouse = status(&mut kbc) & STATUS_AUX != 0;
        seen.push((is_mouse, read(&mut kbc).expect("a byte")));
        wait(&mut kbc);
    }
    assert_eq!(read(&mut kbc), None);
    let from = |is_mouse: bool| -> Vec<u8> {
        seen.iter()
            .filter(|(from, _)| *from == is_mouse)
            .map(|(_, byte)| *byte)
            .collect()
    };
    assert_eq!(from(true), [0x08, 1, 2]);
    assert_eq!(from(false), [0x1e; 3]);
    assert!(
        seen.windows(2).all(|pair| pair[0].0 != pair[1].0),
        "{seen:?}"
    );
}

#[test]
fn a_closed_port_holds_the_mouse_back_and_not_the_keyboard() {
    let mut kbc = I8042::new();
    assert_eq!(mouse(&mut kbc, 0xf4), [0xfa]);
    assert!(kbc.is_mouse_reporting());
    command(&mut kbc, 0xa7);
    assert!(!kbc.is_mouse_reporting());
    kbc.move_mouse(5, 0, 0);
    wait(&mut kbc);
    assert_eq!((read(&mut kbc), kbc.deadline()), (None, None));
    assert!(kbc.key(0x1c));
    assert_eq!(read(&mut kbc), Some(0x1e));
    wait(&mut kbc);
    command(&mut kbc, 0xa8);
    assert_eq!(status(&mut kbc) & STATUS_AUX, STATUS_AUX);
    assert_eq!(read(&mut kbc), Some(0x08));
}

#[test]
fn reports_leave_at_the_sample_rate() {
    let mut kbc = I8042::new();
    assert_eq!(mouse(&mut kbc, 0xf3), [0xfa]);
    assert_eq!(mouse(&mut kbc, 20), [0xfa]);
    assert_eq!(mouse(&mut kbc, 0xf4), [0xfa]);
    assert_eq!(kbc.deadline(), None);
    let start = kbc.now;
    let mut reports = 0;
    for _ in 0..1000 {
        kbc.move_mouse(1, 0, 0);
        while let Some(at) = kbc.deadline() {
            if at > kbc.now.after_ns(BYTE_NS) {
                break;
            }
            kbc.advance(at.max(kbc.now));
        }
        while read(&mut kbc).is_some() {
            wait(&mut kbc);
            reports += 1;
        }
        kbc.advance(kbc.now.after_ns(1_000_000));
    }
    let milliseconds = kbc.now.since_ns(start) / 1_000_000;
    // Three bytes a report, twenty reports a second.
    let most = 3 * (milliseconds * 20 / 1000 + 1);
    assert!((most - 6..=most).contains(&reports), "{reports} of {most}");
}

#[test]
fn the_next_report_is_what_the_deadline_is_for() {
    let mut kbc = I8042::new();
    assert_eq!(mouse(&mut kbc, 0xf4), [0xfa]);
    kbc.move_mouse(1, 0, 0);
    let first_at = kbc.now;
    assert_eq!(kbc.deadline(), None);
    for _ in 0..3 {
        assert!(read(&mut kbc).is_some());
        wait(&mut kbc);
    }
    kbc.move_mouse(1, 0, 0);
    assert_eq!(read(&mut kbc), None);
    let next_at = first_at.after_ns(10_000_000);
    assert_eq!(kbc.deadline(), Some(next_at));
    kbc.advance(next_at);
    assert_eq!(
        (read(&mut kbc), kbc.deadline()),
        (Some(0x08), Some(next_at.after_ns(BYTE_NS)))
    );
}

#[test]
fn a_reset_takes_all_away() {
    let mut kbc = I8042::new();
    mouse(&mut kbc, 0xf4);
    command(&mut kbc, 0x60);
    data(&mut kbc, 0x47);
    kbc.move_mouse(300, -300, 3);
    kbc.set_mouse_buttons(MouseButtons {
        left: true,
        ..MouseButtons::default()
    });
    assert_eq!(kbc.mouse_line(), Level::High);
    kbc.reset();
    let fresh = I8042 {
        now: kbc.now,
        ..I8042::new()
    };
    assert_eq!(kbc, fresh);
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
            command(&mut kbc, 0xd4);
            data(&mut kbc, value.wrapping_add(round));
            kbc.key(round);
            let counts = i32::from(value) << (round % 24);
            kbc.move_mouse(counts, -counts, i32::MIN + counts);
            read(&mut kbc);
            wait(&mut kbc);
        }
    }
}
