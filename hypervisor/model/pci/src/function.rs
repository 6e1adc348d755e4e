//! Configuration space of one PCI function with a type 0 header.
//!
//! Follows PCI Local Bus 3.0, chapter 6, and PCI Express Base 5.0, section 7.5. The space is bytes with a mask of what the guest can
//! write; a BAR is a register whose low bits cannot be written, so sizing it needs no code of its own.

mod state;

use alloc::vec;
use alloc::vec::Vec;
use device::{Refused, Width};

/// Bytes of a conventional configuration space.
const CONVENTIONAL_BYTES: usize = 0x100;
/// Bytes of the extended one.
const EXTENDED_BYTES: u16 = 0x1000;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BAR0: usize = 0x10;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
/// Where the first capability goes: behind the header.
const FIRST_CAPABILITY: u8 = 0x40;

const COMMAND_IO: u16 = 1 << 0;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;
const COMMAND_INTX_OFF: u16 = 1 << 10;
/// I/O, memory, master, parity, SERR, INTx disable.
const COMMAND_WRITABLE: u16 = 0x0547;
const STATUS_CAPABILITIES: u8 = 1 << 4;

/// Identity that a function reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Class, subclass and programming interface, as in 0x06_00_00.
    pub class: u32,
    /// Revision id.
    pub revision: u8,
    /// Subsystem vendor and subsystem id.
    pub subsystem: (u16, u16),
    /// True if the device has more functions than this one.
    pub is_multifunction: bool,
}

/// Kind of space that a BAR decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere, prefetchable; takes the next BAR too.
    Memory64,
}

/// Where a BAR decodes at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarWindow {
    /// Ports or memory.
    pub kind: BarKind,
    /// First port or address.
    pub start: u64,
    /// Bytes or ports.
    pub len: u64,
}

/// A function's configuration space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `initial` where a guest cannot write.
    bytes: Vec<u8>,
    /// The bits a guest can write: wiring.
    writable: Vec<u8>,
    /// Value of `bytes` after reset: wiring.
    initial: Vec<u8>,
    /// Kind and size of each BAR: wiring.
    bars: [Option<(BarKind, u64)>; 6],
    /// Where the next capability goes: wiring.
    next_capability: u8,
}

impl Function {
    /// A function without BARs and capabilities.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let mut function = Self {
            bytes: vec![0; CONVENTIONAL_BYTES],
            writable: vec![0; CONVENTIONAL_BYTES],
            initial: vec![0; CONVENTIONAL_BYTES],
            bars: [None; 6],
            next_capability: FIRST_CAPABILITY,
        };
        let class = identity.class.to_le_bytes();
        function.set(0x00, &identity.vendor.to_le_bytes());
        function.set(0x02, &identity.device.to_le_bytes());
        function.set(0x08, &[identity.revision, class[0], class[1], class[2]]);
        function.set(0x0e, &[u8::from(identity.is_multifunction) << 7]);
        function.set(0x2c, &identity.subsystem.0.to_le_bytes());
        function.set(0x2e, &identity.subsystem.1.to_le_bytes());
        function.allow(COMMAND, &COMMAND_WRITABLE.to_le_bytes());
        function.allow(0x0c, &[0xff]);
        function.allow(INTERRUPT_LINE, &[0xff]);
        function
    }

    /// Adds BAR `index`, 0 to 5, of `len` ports or bytes, rounded up to a power of two (at least 4 ports, 16 bytes).
    ///
    /// An index that is not there, or the last one for 64 bits, adds nothing.
    #[must_use]
    pub fn with_bar(mut self, index: usize, kind: BarKind, len: u64) -> Self {
        let (least, most, flags) = match kind {
            BarKind::Io => (4, 1 << 8, 0x1),
            BarKind::Memory32 => (16, 1 << 31, 0x0),
            BarKind::Memory64 => (16, 1 << 46, 0xc),
        };
        let last = if kind == BarKind::Memory64 { 4 } else { 5 };
        if index > last {
            return self;
        }
        let len = len.clamp(least, most).next_power_of_two();
        let mask = !(len - 1);
        let at = BAR0 + index * 4;
        if let Some(bar) = self.bars.get_mut(index) {
            *bar = Some((kind, len));
        }
        self.set(at, &[flags]);
        self.allow(at, &(mask as u32).to_le_bytes());
        if kind == BarKind::Memory64 {
            self.allow(at + 4, &((mask >> 32) as u32).to_le_bytes());
        }
        self
    }

    /// Sets interrupt pin `pin` (1 is INTA#) as the one used, and the line register to what
    /// firmware has put there.
    #[must_use]
    pub fn with_interrupt(mut self, pin: u8, line: u8) -> Self {
        self.set(INTERRUPT_LINE, &[line, pin]);
        self
    }

    /// Presets bytes from offset `at` on, for registers outside the standard header; `writable` masks what the guest can change.
    #[must_use]
    pub fn with_bytes(mut self, at: usize, bytes: &[u8], writable: &[u8]) -> Self {
        self.set(at, bytes);
        self.allow(at, writable);
        self
    }

    /// Appends a capability: its `body` follows id and next pointer, and `writable` masks the body. Returns where it lies, or `None`
    /// when the space is full.
    pub fn add_capability(&mut self, id: u8, body: &[u8], writable: &[u8]) -> Option<u8> {
        let at = self.next_capability;
        let start = usize::from(at);
        let end = start.checked_add(2)?.checked_add(body.len())?;
        if end > CONVENTIONAL_BYTES {
            return None;
        }
        // Behind the last one in the list.
        let mut link = CAPABILITIES;
        for _ in 0..CONVENTIONAL_BYTES / 4 {
            match self.initial.get(link).copied() {
                Some(0) | None => break,
                Some(next) => link = usize::from(next) + 1,
            }
        }
        self.set(link, &[at]);
        self.set(start, &[id, 0]);
        self.set(start + 2, body);
        self.allow(start + 2, writable);
        let status = self.initial.get(STATUS).copied().unwrap_or(0);
        self.set(STATUS, &[status | STATUS_CAPABILITIES]);
        self.next_capability = u8::try_from(end.next_multiple_of(4)).unwrap_or(u8::MAX);
        Some(at)
    }

    /// Presets bytes, now and after reset.
    fn set(&mut self, at: usize, values: &[u8]) {
        for place in [&mut self.bytes, &mut self.initial] {
            for (byte, value) in place.iter_mut().skip(at).zip(values) {
                *byte = *value;
            }
        }
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        for (byte, value) in self.writable.iter_mut().skip(at).zip(mask) {
            *byte = *value;
        }
    }

    /// Back to the state after reset.
    pub fn reset(&mut self) {
        let Self {
            bytes,
            initial,
            writable: _,
            bars: _,
            next_capability: _,
        } = self;
        bytes.clone_from(initial);
    }

    /// Reads at `at`, 0 to 0xFFF. Behind the conventional 256 bytes there is nothing, which reads as zero.
    ///
    /// # Errors
    /// [`Refused`] when it straddles doublewords or lies behind the space.
    pub fn read(&self, at: u16, width: Width) -> Result<u32, Refused> {
        check(at, width)?;
        let mut value = 0;
        for index in 0..usize::from(width.bytes()) {
            let byte = self.bytes.get(usize::from(at) + index).copied();
            value |= u32::from(byte.unwrap_or(0)) << (index * 8);
        }
        Ok(value)
    }

    /// Writes at `at`, 0 to 0xFFF; read-only bits stay.
    ///
    /// # Errors
    /// [`Refused`] when it straddles doublewords or lies behind the space.
    pub fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        check(at, width)?;
        let bytes = self.bytes.iter_mut().zip(&self.writable);
        let values = value.to_le_bytes().into_iter();
        for ((byte, mask), value) in bytes
            .skip(usize::from(at))
            .zip(values.take(usize::from(width.bytes())))
        {
            *byte = *byte & !mask | value & mask;
        }
        Ok(())
    }

    fn word(&self, at: usize) -> u16 {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        u16::from_le_bytes([byte(at), byte(at + 1)])
    }

    fn dword(&self, at: usize) -> u32 {
        u32::from(self.word(at)) | u32::from(self.word(at + 2)) << 16
    }

    /// Where BAR `index` decodes; `None` when it is not there, or switched off in the command register.
    #[must_use]
    pub fn bar(&self, index: usize) -> Option<BarWindow> {
        let (kind, len) = (*self.bars.get(index)?)?;
        let low = self.dword(BAR0 + index * 4);
        let command = self.word(COMMAND);
        let (needed, start) = match kind {
            BarKind::Io => (COMMAND_IO, u64::from(low & 0xfffc)),
            BarKind::Memory32 => (COMMAND_MEMORY, u64::from(low & !0xf)),
            BarKind::Memory64 => {
                let high = u64::from(self.dword(BAR0 + index * 4 + 4));
                (COMMAND_MEMORY, high << 32 | u64::from(low & !0xf))
            }
        };
        (command & needed != 0).then_some(BarWindow { kind, start, len })
    }

    /// Returns whether it may access memory by itself and send MSIs.
    #[must_use]
    pub fn is_bus_master(&self) -> bool {
        self.word(COMMAND) & COMMAND_MASTER != 0
    }

    /// Returns whether it may pull its INTx line.
    #[must_use]
    pub fn is_intx_enabled(&self) -> bool {
        self.word(COMMAND) & COMMAND_INTX_OFF == 0
    }

    /// Vendor id and device id.
    #[must_use]
    pub fn ids(&self) -> (u16, u16) {
        (self.word(0), self.word(2))
    }
}

/// Checks that an access lies within one doubleword of the space.
fn check(at: u16, width: Width) -> Result<(), Refused> {
    if at >= EXTENDED_BYTES {
        Err(Refused::NoRegister)
    } else if width == Width::Qword {
        Err(Refused::WrongWidth)
    } else if at % 4 + u16::from(width.bytes()) > 4 {
        Err(Refused::Misaligned)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Function {
        Function::new(Identity {
            vendor: 0x1af4,
            device: 0x1042,
            class: 0x01_00_00,
            revision: 1,
            subsystem: (0x1af4, 2),
            is_multifunction: false,
        })
    }

    #[test]
    fn the_identity_can_be_read_in_all_widths_and_not_written() {
        let mut function = function();
        function.write(0, Width::Dword, 0).expect("a register");
        assert_eq!(function.read(0, Width::Dword), Ok(0x1042_1af4));
        assert_eq!(function.read(2, Width::Word), Ok(0x1042));
        assert_eq!(function.read(3, Width::Byte), Ok(0x10));
        assert_eq!(function.read(8, Width::Dword), Ok(0x0100_0001));
        assert_eq!(function.read(3, Width::Word), Err(Refused::Misaligned));
        assert_eq!(function.read(0x1000, Width::Byte), Err(Refused::NoRegister));
        assert_eq!(function.read(0x100, Width::Dword), Ok(0));
    }

    #[test]
    fn a_bar_tells_its_size_and_moves() {
        let mut function = function().with_bar(1, BarKind::Memory32, 0x3000);
        function.write(0x14, Width::Dword, u32::MAX).expect("BAR 1");
        assert_eq!(function.read(0x14, Width::Dword), Ok(0xffff_c000));
        function
            .write(0x14, Width::Dword, 0xe000_0000)
            .expect("BAR 1");
        assert_eq!(function.bar(1), None);
        function.write(4, Width::Word, 2).expect("command");
        let window = function.bar(1).expect("decoding");
        assert_eq!((window.start, window.len), (0xe000_0000, 0x4000));
        function.reset();
        assert_eq!(function.bar(1), None);
    }

    #[test]
    fn a_64_bit_bar_takes_two_registers() {
        let mut function = function().with_bar(4, BarKind::Memory64, 0x4000);
        for (at, value) in [(0x20, 0xc000_0000), (0x24, 0x12), (4, 2)] {
            function.write(at, Width::Dword, value).expect("a register");
        }
        assert_eq!(function.read(0x20, Width::Dword), Ok(0xc000_000c));
        assert_eq!(function.bar(4).map(|bar| bar.start), Some(0x12_c000_0000));
    }

    #[test]
    fn an_io_bar_reads_its_flag() {
        let mut function = function().with_bar(0, BarKind::Io, 32);
        function.write(0x10, Width::Dword, u32::MAX).expect("BAR 0");
        assert_eq!(function.read(0x10, Width::Dword), Ok(0xffff_ffe1));
    }

    #[test]
    fn capabilities_form_a_list() {
        let mut function = function();
        assert_eq!(function.add_capability(0x09, &[0x10; 14], &[]), Some(0x40));
        assert_eq!(
            function.add_capability(0x11, &[0; 10], &[0, 0xc0]),
            Some(0x50)
        );
        assert_eq!(function.read(0x34, Width::Byte), Ok(0x40));
        assert_eq!(function.read(0x41, Width::Byte), Ok(0x50));
        assert_eq!(function.read(0x51, Width::Byte), Ok(0));
        function.write(0x52, Width::Word, 0xffff).expect("control");
        assert_eq!(function.read(0x52, Width::Word), Ok(0xc000));
        assert_eq!(function.read(6, Width::Word), Ok(0x10));
        assert_eq!(function.add_capability(0x09, &[0; 0xff], &[]), None);
    }
}
