//! The two reset doors of a PC: reset control at 0xCF9, and port 0x92 with its fast reset and A20 gate.
//!
//! Follows the ICH9 datasheet, sections 13.7.5 (RST_CNT) and 13.7.3 (PORT92). Ports are absolute. A20 is always open: the bit is
//! stored and read back, and masks nothing.

use crate::power::PowerRequest;
use device::{BadState, Device, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};

/// Reset control.
pub const RESET_PORT: u16 = *pc_map::ports::RESET.start();
/// Value that FADT's RESET_VALUE names: a hard reset.
pub const RESET_VALUE: u8 = 0x06;
/// Fast reset and A20.
pub const FAST_RESET_PORT: u16 = *pc_map::ports::FAST_RESET.start();

const RESET_CPU: u8 = 1 << 2;
/// System reset, CPU reset, full reset.
const CONTROL_WRITABLE: u8 = 0b1110;
const CONTROL_KEPT: u8 = CONTROL_WRITABLE & !RESET_CPU;

const FAST_RESET: u8 = 1 << 0;
const FAST_A20: u8 = 1 << 1;
const FAST_WRITABLE: u8 = FAST_RESET | FAST_A20;

/// Both ports. Nothing in it is wiring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetControl {
    control: u8,
    port92: u8,
    is_requested: bool,
}

impl Default for ResetControl {
    fn default() -> Self {
        Self::new()
    }
}

impl ResetControl {
    /// Nobody has asked yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            control: 0,
            port92: FAST_A20,
            is_requested: false,
        }
    }

    /// Takes the request for a reset, if there was one.
    pub fn take_request(&mut self) -> Option<PowerRequest> {
        core::mem::take(&mut self.is_requested).then_some(PowerRequest::Reset)
    }
}

impl State for ResetControl {}

impl Persist for ResetControl {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        let is_possible = state.control & !CONTROL_KEPT == 0 && state.port92 & !FAST_WRITABLE == 0;
        BadState::unless(is_possible, "a register has reserved bits")?;
        *self = state;
        Ok(())
    }
}

impl Device for ResetControl {
    fn reset(&mut self) {
        let Self {
            control,
            port92,
            is_requested,
        } = self;
        (*control, *port92, *is_requested) = (0, FAST_A20, false);
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("0xcf9", format_args!("{:#04x}", self.control));
        page.line("0x92", format_args!("{:#04x}", self.port92));
    }
}

impl PioDevice for ResetControl {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (RESET_PORT, Width::Byte) => Ok(u32::from(self.control)),
            (FAST_RESET_PORT, Width::Byte) => Ok(u32::from(self.port92)),
            (RESET_PORT | FAST_RESET_PORT, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        let value = value as u8;
        match (at, width) {
            (RESET_PORT, Width::Byte) => {
                self.is_requested |= value & !self.control & RESET_CPU != 0;
                // The CPU-reset bit does not stay: the reset it starts clears it.
                self.control = value & CONTROL_KEPT;
            }
            (FAST_RESET_PORT, Width::Byte) => {
                self.is_requested |= value & !self.port92 & FAST_RESET != 0;
                self.port92 = value & FAST_WRITABLE;
            }
            (RESET_PORT | FAST_RESET_PORT, _) => return Err(Refused::WrongWidth),
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cf9_resets_when_the_cpu_bit_rises() {
        let mut reset = ResetControl::new();
        reset.write(RESET_PORT, Width::Byte, 0x02).expect("0xcf9");
        assert_eq!(reset.take_request(), None);
        reset
            .write(RESET_PORT, Width::Byte, u32::from(RESET_VALUE))
            .expect("0xcf9");
        assert_eq!(reset.take_request(), Some(PowerRequest::Reset));
        assert_eq!(reset.take_request(), None);
    }

    #[test]
    fn port_92_resets_on_bit_0_and_keeps_a20() {
        let mut reset = ResetControl::new();
        reset.write(FAST_RESET_PORT, Width::Byte, 2).expect("0x92");
        assert_eq!(reset.take_request(), None);
        assert_eq!(reset.read(FAST_RESET_PORT, Width::Byte), Ok(2));
        reset.write(FAST_RESET_PORT, Width::Byte, 3).expect("0x92");
        assert_eq!(reset.take_request(), Some(PowerRequest::Reset));
    }
}
