//! The port bus as string instructions see it.

use crate::bus::PioBus;
use emulate::PortBus;
use x86::Width;

/// The ports of one VM.
pub(crate) struct Ports<'a>(pub(crate) &'a PioBus);

impl PortBus for Ports<'_> {
    fn read(&mut self, port: u16, width: Width) -> u32 {
        self.0.read(port, width)
    }

    fn write(&mut self, port: u16, width: Width, value: u32) {
        self.0.write(port, width, value);
    }
}
