//! The port bus as string instructions see it.

use board::PioBus;
use emulate::PortBus;
use x86::Width;

/// The ports of one VM.
pub(crate) struct Ports<'a>(pub(crate) &'a PioBus);

impl PortBus for Ports<'_> {
    fn read(&mut self, port: u16, width: Width) -> u32 {
        self.0.read(port, width).unwrap_or(u32::MAX)
    }

    fn write(&mut self, port: u16, width: Width, value: u32) {
        let _ = self.0.write(port, width, value);
    }

    fn read_many(&mut self, port: u16, width: Width, into: &mut [u8]) {
        self.0.read_many(port, width, into);
    }

    fn write_many(&mut self, port: u16, width: Width, from: &[u8]) {
        self.0.write_many(port, width, from);
    }
}
