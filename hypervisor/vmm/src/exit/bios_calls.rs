//! A VM as its BIOS sees it.

use crate::vm::Vm;
use guest_boot::MemoryLayout;
use host::Host;
use time::Instant;
use vm_spec::GuestConsole;
use x86::Width;

impl<H: Host> bios::Pc for Vm<H> {
    type Ram = H::Ram;

    fn ram(&self) -> &H::Ram {
        self.ram()
    }

    fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    fn now(&self) -> Instant {
        self.now()
    }

    fn input(&self, port: u16) -> u8 {
        let value = self.board.bus().table().pio.read(port, Width::Byte);
        value.unwrap_or(u32::MAX) as u8
    }

    fn output(&self, port: u16, value: u8) {
        // Where there is no device it is lost.
        let _ = self
            .board
            .bus()
            .table()
            .pio
            .write(port, Width::Byte, value.into());
    }

    fn has_serial_console(&self) -> bool {
        self.spec.console == GuestConsole::Serial
    }
}
