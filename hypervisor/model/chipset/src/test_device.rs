//! A device for tests of the hypervisor itself: a page of registers and an interrupt line.
//!
//! | offset | access | what |
//! |---|---|---|
//! | 0 | read | tells that the device answers |
//! | 4 | read, write | any number |
//! | 8 | read, write | bit 0: the line is held high |
//! | 12 | read; a write clears | how often a probe was read |
//! | 0x100 to 0xffc | read | a probe: its own offset, and is counted |
//!
//! All are doublewords. The first four registers are at ports, too.

use device::{
    BadState, Device, Level, MmioDevice, Page, Persist, PioDevice, Refused, State, Width,
};
use serde::{Deserialize, Serialize};

/// Length of its registers.
pub const TEST_DEVICE_BYTES: u64 = 0x1000;
/// Number of ports it has.
pub const TEST_DEVICE_PORTS: u16 = 16;
/// Value that the first register reads as.
const ID: u32 = 0x7e57_de71;
const FIRST_PROBE: u64 = 0x100;

/// The device. Nothing in it is wiring, and every value can be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDevice {
    number: u32,
    is_held: bool,
    probes: u32,
}

impl State for TestDevice {}

impl Persist for TestDevice {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        *self = state;
        Ok(())
    }
}

impl Device for TestDevice {
    fn reset(&mut self) {
        let Self {
            number,
            is_held,
            probes,
        } = self;
        (*number, *is_held, *probes) = (0, false, 0);
    }

    fn line(&self) -> Level {
        Level::when(self.is_held)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("number", format_args!("{:#x}", self.number));
        page.line("line", format_args!("{:?}", self.line()));
        page.line("probes", self.probes);
    }
}

impl MmioDevice for TestDevice {
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused> {
        check(at, width)?;
        Ok(match at {
            0 => ID.into(),
            4 => self.number.into(),
            8 => self.is_held.into(),
            12 => self.probes.into(),
            FIRST_PROBE..TEST_DEVICE_BYTES => {
                self.probes = self.probes.wrapping_add(1);
                at
            }
            _ => return Err(Refused::NoRegister),
        })
    }

    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        check(at, width)?;
        match at {
            4 => self.number = value as u32,
            8 => self.is_held = value & 1 != 0,
            12 => self.probes = 0,
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

impl PioDevice for TestDevice {
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        if at >= TEST_DEVICE_PORTS {
            return Err(Refused::NoRegister);
        }
        MmioDevice::read(self, at.into(), width).map(|value| value as u32)
    }

    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        if at >= TEST_DEVICE_PORTS {
            return Err(Refused::NoRegister);
        }
        MmioDevice::write(self, at.into(), width, value.into())
    }
}

fn check(at: u64, width: Width) -> Result<(), Refused> {
    if width != Width::Dword {
        Err(Refused::WrongWidth)
    } else if at.is_multiple_of(4) {
        Ok(())
    } else {
        Err(Refused::Misaligned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_does_as_the_table_says() {
        let mut device = TestDevice::default();
        let read = |device: &mut TestDevice, at| MmioDevice::read(device, at, Width::Dword);
        assert_eq!(read(&mut device, 0), Ok(ID.into()));
        MmioDevice::write(&mut device, 4, Width::Dword, 7).expect("a register");
        assert_eq!(read(&mut device, 4), Ok(7));
        assert_eq!(device.line(), Level::Low);
        MmioDevice::write(&mut device, 8, Width::Dword, 3).expect("a register");
        assert_eq!((read(&mut device, 8), device.line()), (Ok(1), Level::High));
        assert_eq!(read(&mut device, 0xffc), Ok(0xffc));
        assert_eq!(read(&mut device, 0x100), Ok(0x100));
        assert_eq!(read(&mut device, 12), Ok(2));
        MmioDevice::write(&mut device, 12, Width::Dword, 9).expect("a register");
        assert_eq!(read(&mut device, 12), Ok(0));
        assert_eq!(read(&mut device, 16), Err(Refused::NoRegister));
        assert_eq!(read(&mut device, 0x1000), Err(Refused::NoRegister));
        assert_eq!(read(&mut device, 2), Err(Refused::Misaligned));
        assert_eq!(PioDevice::read(&mut device, 12, Width::Dword), Ok(0));
        assert_eq!(
            PioDevice::read(&mut device, 16, Width::Dword),
            Err(Refused::NoRegister)
        );
        assert_eq!(
            PioDevice::read(&mut device, 0, Width::Byte),
            Err(Refused::WrongWidth)
        );
        device.reset();
        assert_eq!(device, TestDevice::default());
    }
}
