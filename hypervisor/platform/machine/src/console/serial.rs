//! A 16550 UART by the crate `uart_16550`, on registers of ours: 115200 8N1, polled.
//!
//! Not a driver crate: `uart_16550` is told by an unsafe promise that its registers are there.

use hardware::Registers;
use uart_16550::backend::Backend;
use uart_16550::{BaudRate, Config, Uart16550};

/// Ports of a UART.
pub(super) const PORT_COUNT: u16 = 8;

/// A serial port that answers.
pub(super) struct SerialPort<R: Registers> {
    uart: Uart16550<RegisterBackend<R>>,
}

struct RegisterBackend<R>(R);

impl<R: Registers> Backend for RegisterBackend<R> {
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        // An absent register reads as an empty bus.
        self.0.read_u8(register_offset.into()).unwrap_or(0xff)
    }

    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        let _ = self.0.write_u8(register_offset.into(), value);
    }
}

impl<R: Registers> SerialPort<R> {
    /// Prepares the UART; `None` where there is none.
    pub(super) fn find(registers: R) -> Option<Self> {
        // SAFETY: the registers are bounded; an access of one that is missing does nothing.
        let mut uart = unsafe { Uart16550::new_with_backend(RegisterBackend(registers)) };
        let config = Config {
            // The crate's default is a tenth of what firmware and everybody else use.
            baud_rate: BaudRate::Baud115200,
            check_cts_before_sending: false,
            ..Config::default()
        };
        uart.init(config).ok()?;
        Some(Self { uart })
    }

    /// Gives bytes to the UART as far as it takes them at once; returns how many it took.
    pub(super) fn send(&mut self, bytes: &[u8]) -> usize {
        self.uart.send_bytes(bytes)
    }

    /// Returns the next byte that came in.
    pub(super) fn receive(&mut self) -> Option<u8> {
        self.uart.try_receive_byte().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardware::{Access, TestRegisters};
    use x86::Width;

    const DATA: usize = 0;
    const IER: usize = 1;
    const LINE_CONTROL: usize = 3;
    const LINE_STATUS: usize = 5;
    const IDLE: u64 = 0x60;

    fn uart() -> TestRegisters {
        let registers = TestRegisters::new(PORT_COUNT.into());
        registers.set(LINE_STATUS, Width::Byte, IDLE);
        registers
    }

    #[test]
    fn a_uart_is_set_to_115200_8n1_without_interrupts() {
        let registers = uart();
        assert!(SerialPort::find(&registers).is_some());
        let accesses = registers.take_accesses();
        let written = |register| {
            accesses.iter().filter_map(move |access| match *access {
                Access::Write { at, value, .. } if at == register => Some(value),
                Access::Write { .. } | Access::Read { .. } => None,
            })
        };
        assert!(written(DATA).any(|low| low == 1), "the divisor of 115200");
        assert_eq!(written(LINE_CONTROL).next_back(), Some(3));
        assert_eq!(written(IER).next_back(), Some(0));
    }

    #[test]
    fn an_empty_bus_is_no_uart() {
        let registers = TestRegisters::new(0);
        assert!(SerialPort::find(&registers).is_none());
    }

    #[test]
    fn bytes_are_sent_while_the_transmitter_is_empty() {
        let registers = uart();
        let mut port = SerialPort::find(&registers).expect("it answers");
        registers.take_accesses();
        assert_eq!(port.send(b"ok"), 2);
        assert_eq!(
            registers.take_writes(DATA),
            [u64::from(b'o'), u64::from(b'k')]
        );
        registers.set(LINE_STATUS, Width::Byte, 0);
        assert_eq!(port.send(b"ok"), 0);
        assert_eq!(registers.take_writes(DATA), []);
    }

    #[test]
    fn a_byte_is_received_when_one_is_there() {
        let registers = uart();
        let mut port = SerialPort::find(&registers).expect("it answers");
        assert_eq!(port.receive(), None);
        registers.set(LINE_STATUS, Width::Byte, IDLE | 1);
        registers.script(DATA, [u64::from(b'x')]);
        assert_eq!(port.receive(), Some(b'x'));
    }
}
