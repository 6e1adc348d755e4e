//! Tests of what drivers expect of the UART.

use super::*;

fn read(uart: &mut Uart16550, at: u16) -> u8 {
    uart.read(at, Width::Byte).expect("a register") as u8
}

fn write(uart: &mut Uart16550, at: u16, value: u8) {
    uart.write(at, Width::Byte, u32::from(value))
        .expect("a register");
}

#[test]
fn setting_etbei_with_an_empty_thr_interrupts_and_reading_iir_ends_it() {
    let mut uart = Uart16550::new();
    assert_eq!(uart.line(), Level::Low);
    write(&mut uart, 1, IER_THR_EMPTY);
    assert_eq!(uart.line(), Level::High);
    assert_eq!(read(&mut uart, 2), IIR_THR_EMPTY);
    assert_eq!(uart.line(), Level::Low);
    write(&mut uart, 0, b'a');
    assert_eq!(uart.line(), Level::High);
    assert_eq!(uart.take_transmitted(), Some(b'a'));
    assert_eq!(uart.take_transmitted(), None);
}

#[test]
fn one_received_byte_interrupts_below_the_trigger_level() {
    let mut uart = Uart16550::new();
    write(&mut uart, 2, 0xc1);
    write(&mut uart, 1, IER_RECEIVED);
    assert!(uart.receive(b'x'));
    assert_eq!(read(&mut uart, 2), 0xc0 | IIR_TIMEOUT);
    for _ in 0..13 {
        assert!(uart.receive(b'y'));
    }
    assert_eq!(read(&mut uart, 2), 0xc0 | IIR_RECEIVED);
    assert_eq!(read(&mut uart, 0), b'x');
}

#[test]
fn a_full_fifo_refuses_the_seventeenth_byte() {
    let mut uart = Uart16550::new();
    write(&mut uart, 2, 0x01);
    assert_eq!((0..20).filter(|_| uart.receive(0)).count(), 16);
}

#[test]
fn received_data_outranks_an_empty_thr() {
    let mut uart = Uart16550::new();
    write(&mut uart, 1, 0xf);
    assert!(uart.receive(1));
    assert_eq!(read(&mut uart, 2), IIR_RECEIVED);
    read(&mut uart, 0);
    assert_eq!(read(&mut uart, 2), IIR_THR_EMPTY);
    assert_eq!(read(&mut uart, 2), IIR_NONE);
}

#[test]
fn the_loop_returns_bytes_and_modem_lines() {
    let mut uart = Uart16550::new();
    write(&mut uart, 4, MCR_LOOP | MCR_OUT2 | MCR_RTS);
    assert_eq!(read(&mut uart, 6) & 0xf0, MSR_DCD | MSR_CTS);
    write(&mut uart, 0, 0xae);
    assert_eq!(read(&mut uart, 5) & LSR_DATA_READY, LSR_DATA_READY);
    assert_eq!(read(&mut uart, 0), 0xae);
    assert_eq!(uart.take_transmitted(), None);
}

#[test]
fn a_held_back_transmitter_is_seen_and_its_release_interrupts() {
    let mut uart = Uart16550::new();
    write(&mut uart, 2, 1);
    uart.set_backpressure(true);
    write(&mut uart, 0, b'a');
    assert_eq!(read(&mut uart, 5) & LSR_THR_EMPTY, 0);
    write(&mut uart, 1, IER_THR_EMPTY);
    assert_eq!(uart.line(), Level::Low);
    assert_eq!(uart.take_transmitted(), Some(b'a'));
    assert_eq!(uart.line(), Level::High);
}

#[test]
fn the_divisor_hides_behind_dlab_and_upper_ier_bits_stay_zero() {
    let mut uart = Uart16550::new();
    write(&mut uart, 3, 0x83);
    write(&mut uart, 0, 1);
    write(&mut uart, 1, 0);
    assert_eq!((read(&mut uart, 0), read(&mut uart, 1)), (1, 0));
    write(&mut uart, 3, 3);
    write(&mut uart, 1, 0xff);
    assert_eq!(read(&mut uart, 1), 0x0f);
    assert_eq!(uart.read(0, Width::Word), Err(Refused::WrongWidth));
}

#[test]
fn bit_five_of_fcr_does_not_make_a_16750_of_it() {
    let mut uart = Uart16550::new();
    write(&mut uart, 2, 0xe1);
    assert_eq!(read(&mut uart, 2) & 0xf0, 0xc0);
}
