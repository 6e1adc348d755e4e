//! Saved state of a UART.

use super::{FCR_ENABLE, FCR_KEPT, FIFO_BYTES, LSR_ERRORS, Uart16550};
use crate::ring::Ring;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// Its registers and FIFOs, and whether its far end held it back: the board asks the far end of the
/// restored one.
#[derive(Serialize, Deserialize)]
pub struct UartState {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
    errors: u8,
    deltas: u8,
    rx: Ring<FIFO_BYTES>,
    tx: Ring<FIFO_BYTES>,
    thr_empty_pending: bool,
    is_held_back: bool,
}

impl State for UartState {}

impl Persist for Uart16550 {
    type State = UartState;

    fn state(&self) -> UartState {
        let Self {
            ier,
            fcr,
            lcr,
            mcr,
            scr,
            divisor,
            errors,
            deltas,
            rx,
            tx,
            thr_empty_pending,
            is_held_back,
        } = self.clone();
        UartState {
            ier,
            fcr,
            lcr,
            mcr,
            scr,
            divisor,
            errors,
            deltas,
            rx,
            tx,
            thr_empty_pending,
            is_held_back,
        }
    }

    fn set_state(&mut self, state: UartState) -> Result<(), BadState> {
        let UartState {
            ier,
            fcr,
            lcr,
            mcr,
            scr,
            divisor,
            errors,
            deltas,
            rx,
            tx,
            thr_empty_pending,
            is_held_back,
        } = state;
        let has_fifo = fcr & FCR_ENABLE != 0;
        BadState::unless(
            ier <= 0xf
                && mcr <= 0x1f
                && deltas <= 0xf
                && errors & !LSR_ERRORS == 0
                && fcr & !FCR_KEPT == 0
                && (has_fifo || fcr == 0),
            "a register has reserved bits",
        )?;
        rx.check()?;
        tx.check()?;
        let restored = Self {
            ier,
            fcr,
            lcr,
            mcr,
            scr,
            divisor,
            errors,
            deltas,
            rx,
            tx,
            thr_empty_pending,
            is_held_back,
        };
        BadState::unless(
            restored.rx.len() <= restored.rx_depth(),
            "more bytes have come than it takes without its FIFO",
        )?;
        *self = restored;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    #[test]
    fn what_no_uart_was_is_refused() {
        let uart = Uart16550::new();
        let full = || {
            let mut ring = Ring::new();
            while ring.push(1) {}
            ring
        };
        assert!(refuses(&uart, |state| state.rx = full()), "without a FIFO");
        assert!(!refuses(&uart, |state| {
            (state.rx, state.fcr) = (full(), FCR_ENABLE);
        }));
        assert!(
            refuses(&uart, |state| state.fcr = 0x80),
            "a trigger without a FIFO"
        );
        assert!(refuses(&uart, |state| state.ier = 0x10));
        assert!(refuses(&uart, |state| state.mcr = 0x20));
        assert!(refuses(&uart, |state| state.errors = 1));
        assert!(refuses(&uart, |state| state.deltas = 0x10));
    }
}
