//! A VM as its BIOS sees it.

use crate::vm::Vm;
use board::PioBus;
use guest_boot::MemoryLayout;
use host::Host;
use time::Instant;
use vm_spec::GuestConsole;
use x86::Width;

/// A VM, and the ports as one of its vCPUs knows them.
pub(crate) struct BiosView<'a, H: Host> {
    pub(crate) vm: &'a Vm<H>,
    pub(crate) pio: &'a PioBus,
}

impl<H: Host> bios::Pc for BiosView<'_, H> {
    type Ram = H::Ram;

    fn ram(&self) -> &H::Ram {
        self.vm.ram()
    }

    fn layout(&self) -> &MemoryLayout {
        &self.vm.layout
    }

    fn now(&self) -> Instant {
        self.vm.now()
    }

    fn input(&self, port: u16) -> u8 {
        let value = self.pio.read(port, Width::Byte);
        value.unwrap_or(u32::MAX) as u8
    }

    fn output(&self, port: u16, value: u8) {
        // Where there is no device it is lost.
        let _ = self.pio.write(port, Width::Byte, value.into());
    }

    fn has_serial_console(&self) -> bool {
        self.vm.spec.console == GuestConsole::Serial
    }
}
