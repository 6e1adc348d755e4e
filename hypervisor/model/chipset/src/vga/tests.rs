use super::*;

fn out(vga: &mut Vga, at: u16, value: u8) {
    vga.write(at, Width::Byte, value.into())
        .expect("a register");
}

fn inb(vga: &mut Vga, at: u16) -> u8 {
    vga.read(at, Width::Byte).expect("a register") as u8
}

fn crtc(vga: &mut Vga, index: u8, value: u8) {
    out(vga, 0x3d4, index);
    out(vga, 0x3d5, value);
}

fn text(vga: &Vga) -> TextMode {
    match vga.picture() {
        Picture::Text(text) => text,
        other @ (Picture::Off | Picture::Graphics) => panic!("{other}"),
    }
}

#[test]
fn after_reset_it_shows_80_by_25_in_colour() {
    let mode = text(&Vga::new());
    assert_eq!((mode.columns, mode.rows, mode.window), (80, 25, 0xb_8000));
    assert_eq!(mode.cursor_place(), Some((0, 0)));
    assert!(mode.blinks);
}

#[test]
fn cursor_and_start_are_read_back_and_seen() {
    let mut vga = Vga::new();
    let cell = 80 * 26 + 7;
    crtc(&mut vga, 0xe, (cell >> 8) as u8);
    crtc(&mut vga, 0xf, cell as u8);
    crtc(&mut vga, 0xd, 80);
    assert_eq!(inb(&mut vga, 0x3d5), 80);
    out(&mut vga, 0x3d4, 0xf);
    assert_eq!(inb(&mut vga, 0x3d5), cell as u8);
    assert_eq!(text(&vga).cursor_place(), None, "below the screen");
    crtc(&mut vga, 0xd, 160);
    assert_eq!(text(&vga).cursor_place(), Some((24, 7)));
    assert_eq!(text(&vga).offset_of(1, 2), (160 + 80 + 2) * 2);
    crtc(&mut vga, 0xa, 0x20);
    assert_eq!(text(&vga).cursor_place(), None);
}

#[test]
fn a_window_wraps() {
    let mut vga = Vga::new();
    crtc(&mut vga, 0xc, 0x3f);
    crtc(&mut vga, 0xd, 0xff);
    assert_eq!(text(&vga).offset_of(0, 0), 0x7ffe);
    assert_eq!(text(&vga).offset_of(0, 1), 0);
}

#[test]
fn timing_is_protected_and_fifty_rows_are_small_letters() {
    let mut vga = Vga::new();
    crtc(&mut vga, 1, 0x27);
    crtc(&mut vga, 7, 0xff);
    assert_eq!(text(&vga).columns, 80);
    assert_eq!(inb(&mut vga, 0x3d5), 0x1f);
    crtc(&mut vga, 0x11, 0x0e);
    crtc(&mut vga, 1, 0x27);
    crtc(&mut vga, 9, 7);
    let mode = text(&vga);
    assert_eq!((mode.columns, mode.rows), (40, 50));
}

#[test]
fn the_attribute_flip_flop_is_set_back_by_reading_the_status() {
    let mut vga = Vga::new();
    out(&mut vga, 0x3c0, 0x30);
    inb(&mut vga, 0x3da);
    out(&mut vga, 0x3c0, 0x30);
    out(&mut vga, 0x3c0, 0x04);
    assert!(!text(&vga).blinks);
    assert_eq!(inb(&mut vga, 0x3c1), 0x04);
}

#[test]
fn the_palette_counts_through_colours() {
    let mut vga = Vga::new();
    out(&mut vga, 0x3c8, 255);
    for value in [1, 2, 0xff, 4] {
        out(&mut vga, 0x3c9, value);
    }
    out(&mut vga, 0x3c7, 255);
    assert_eq!(inb(&mut vga, 0x3c7), 3);
    let read: [u8; 4] = core::array::from_fn(|_| inb(&mut vga, 0x3c9));
    assert_eq!(read, [1, 2, 0x3f, 4]);
    // The EGA's brown is not dark yellow.
    out(&mut vga, 0x3c7, 0x14);
    let brown: [u8; 3] = core::array::from_fn(|_| inb(&mut vga, 0x3c9));
    assert_eq!(brown, [0x2a, 0x15, 0x00]);
}

#[test]
fn who_waits_for_the_retrace_and_its_end_does_not_wait_long() {
    let mut vga = Vga::new();
    let mut seen = [false; 2];
    for poll in 0..200u64 {
        vga.advance(Instant::from_ns(poll * 100_000));
        seen[usize::from(inb(&mut vga, 0x3da) >> 3 & 1)] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn a_monochrome_adapter_answers_at_the_other_ports() {
    let mut vga = Vga::new();
    assert_eq!(vga.read(0x3b4, Width::Byte), Err(Refused::NoRegister));
    out(&mut vga, 0x3c2, 0x66);
    out(&mut vga, 0x3b4, 0x0e);
    assert_eq!(inb(&mut vga, 0x3b4), 0x0e);
    assert_eq!(vga.read(0x3da, Width::Byte), Err(Refused::NoRegister));
}

#[test]
fn graphics_and_a_screen_switched_off_are_told() {
    let mut vga = Vga::new();
    out(&mut vga, 0x3ce, 6);
    out(&mut vga, 0x3cf, 5);
    assert_eq!(vga.picture(), Picture::Graphics);
    out(&mut vga, 0x3c4, 1);
    out(&mut vga, 0x3c5, 0x20);
    assert_eq!(vga.picture(), Picture::Off);
    vga.reset();
    assert_eq!(vga, Vga::new());
}

#[test]
fn whatever_is_written_the_picture_stays_in_bounds() {
    for value in 0..=255 {
        let mut vga = Vga::new();
        crtc(&mut vga, 0x11, 0);
        for index in 0..=255 {
            crtc(&mut vga, index, value);
        }
        for port in 0x3b0..0x3e0 {
            let _ = vga.write(port, Width::Byte, value.into());
            let _ = vga.read(port, Width::Byte);
        }
        if let Picture::Text(mode) = vga.picture() {
            assert!((1..=MAX_COLUMNS).contains(&mode.columns));
            assert!((1..=MAX_ROWS).contains(&mode.rows));
            assert!(mode.offset_of(mode.rows, mode.columns) < 0x8000);
            let _ = mode.cursor_place();
        }
    }
}
