//! The IOAPIC: every pin masked, until a driver claims one as its line. (82093AA datasheet)

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use addr::Hpa;
use hardware::{InterruptHandler, IrqLine, Registers};
use memory::{Caching, MappedRegisters};
use spin::Mutex;
use x86::Vector;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// An IOAPIC.
pub struct IoApic<R> {
    registers: R,
    pin_count: u32,
}

/// Why an IOAPIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoApicError {
    /// Its page cannot be mapped.
    NoMemory,
    /// Nothing answers there.
    Absent,
}

impl fmt::Display for IoApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory to map it",
            Self::Absent => "nothing answers there",
        })
    }
}

/// When a pin interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When it rises: devices of ISA.
    Edge,
    /// While it is low: devices of PCI.
    LevelLow,
    /// While it is high.
    LevelHigh,
}

/// Where the interrupts of a pin go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// When.
    pub trigger: Trigger,
    /// With which vector.
    pub vector: Vector,
    /// To the local APIC of which identifier.
    pub apic_id: u8,
}

/// The IOAPIC has no such pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPin;

impl IoApic<MappedRegisters> {
    /// Maps the IOAPIC at `base`.
    ///
    /// # Errors
    /// [`IoApicError`].
    ///
    /// # Safety
    /// The firmware's tables, or the platform's convention, say that an IOAPIC is there.
    pub unsafe fn map(base: Hpa) -> Result<Self, IoApicError> {
        // SAFETY: device memory, by the caller's promise; it sends interrupts and moves no memory.
        let registers = unsafe { MappedRegisters::map(base, 0x20, Caching::Uncached) };
        Self::new(registers.map_err(|_| IoApicError::NoMemory)?)
    }
}

impl<R: Registers> IoApic<R> {
    /// Takes the IOAPIC behind `registers`.
    ///
    /// # Errors
    /// [`IoApicError::Absent`].
    pub fn new(registers: R) -> Result<Self, IoApicError> {
        let mut ioapic = Self {
            registers,
            pin_count: 0,
        };
        let version = ioapic.read(VERSION);
        if version == u32::MAX || version & 0xff == 0 {
            return Err(IoApicError::Absent);
        }
        ioapic.pin_count = (version >> 16 & 0xff) + 1;
        Ok(ioapic)
    }

    /// Returns the number of pins.
    pub fn pin_count(&self) -> u32 {
        self.pin_count
    }

    /// Masks every pin.
    pub fn mask_all(&mut self) {
        for pin in 0..self.pin_count {
            self.set_mask(pin, true);
        }
    }

    /// Routes a pin, which is masked then.
    fn route(&mut self, pin: u32, route: Route) -> Result<(), NoPin> {
        if pin >= self.pin_count {
            return Err(NoPin);
        }
        let mode = match route.trigger {
            Trigger::Edge => 0,
            Trigger::LevelLow => LEVEL | ACTIVE_LOW,
            Trigger::LevelHigh => LEVEL,
        };
        let low = REDIRECTION + pin * 2;
        // Masked first: half a route must not carry an interrupt.
        self.set_mask(pin, true);
        self.write(low + 1, u32::from(route.apic_id) << 24);
        self.write(low, MASKED | mode | u32::from(route.vector.0));
        Ok(())
    }

    fn set_mask(&mut self, pin: u32, is_masked: bool) {
        let low = REDIRECTION + pin * 2;
        let value = self.read(low) & !MASKED;
        self.write(low, if is_masked { value | MASKED } else { value });
    }

    /// Reads a register; all ones, as of an absent IOAPIC, if the range is too small for one.
    fn read(&mut self, index: u32) -> u32 {
        let selected = self.registers.write_u32(SELECT, index);
        let value = selected.and_then(|()| self.registers.read_u32(WINDOW));
        value.unwrap_or(u32::MAX)
    }

    /// Writes a register. `new` has found the range to be large enough.
    fn write(&mut self, index: u32, value: u32) {
        if self.registers.write_u32(SELECT, index).is_ok() {
            let _ = self.registers.write_u32(WINDOW, value);
        }
    }
}

/// A pin as the interrupt line of one device.
///
/// It is the handler of its vector, too: it masks a level-triggered pin before it calls the
/// driver's handler, since the device is served later.
pub struct IoApicLine<'a, R> {
    ioapic: &'a Mutex<IoApic<R>>,
    pin: u32,
    trigger: Trigger,
    handler: &'a dyn InterruptHandler,
    is_enabled: AtomicBool,
}

impl<'a, R: Registers> IoApicLine<'a, R> {
    /// Routes a pin to a vector, masked. `handler` is the driver's.
    ///
    /// # Errors
    /// [`NoPin`].
    pub fn new(
        ioapic: &'a Mutex<IoApic<R>>,
        pin: u32,
        route: Route,
        handler: &'a dyn InterruptHandler,
    ) -> Result<Self, NoPin> {
        ioapic.lock().route(pin, route)?;
        Ok(Self {
            ioapic,
            pin,
            trigger: route.trigger,
            handler,
            is_enabled: AtomicBool::new(false),
        })
    }

    fn set_enabled(&self, is_enabled: bool) {
        let mut ioapic = self.ioapic.lock();
        self.is_enabled.store(is_enabled, Ordering::Relaxed);
        ioapic.set_mask(self.pin, !is_enabled);
    }
}

impl<R: Registers> IrqLine for IoApicLine<'_, R> {
    fn enable(&self) {
        self.set_enabled(true);
    }

    fn mask(&self) {
        self.set_enabled(false);
    }

    fn acknowledge(&self) {
        let mut ioapic = self.ioapic.lock();
        if self.trigger != Trigger::Edge && self.is_enabled.load(Ordering::Relaxed) {
            ioapic.set_mask(self.pin, false);
        }
    }
}

impl<R: Registers + Send> InterruptHandler for IoApicLine<'_, R> {
    fn interrupt(&self) {
        if self.trigger != Trigger::Edge {
            self.ioapic.lock().set_mask(self.pin, true);
        }
        self.handler.interrupt();
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU32;

    use hardware::BadAccess;
    use x86::Width;

    use super::*;

    /// An IOAPIC of 24 pins: what the window shows depends on the index.
    struct Chip {
        index: AtomicU32,
        entries: [AtomicU32; 48],
    }

    impl Chip {
        const fn new() -> Self {
            Self {
                index: AtomicU32::new(0),
                entries: [const { AtomicU32::new(0xee) }; 48],
            }
        }

        fn entry(&self, pin: usize) -> (u32, u32) {
            let half = |half: usize| self.entries[pin * 2 + half].load(Ordering::Relaxed);
            (half(1), half(0))
        }
    }

    impl Registers for Chip {
        fn len_bytes(&self) -> usize {
            0x20
        }

        fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
            BadAccess::check(at, width, self.len_bytes())?;
            let index = self.index.load(Ordering::Relaxed);
            Ok(match index.checked_sub(REDIRECTION) {
                None => 0x0017_0020,
                Some(entry) => self.entries[entry as usize].load(Ordering::Relaxed).into(),
            })
        }

        fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
            BadAccess::check(at, width, self.len_bytes())?;
            let index = self.index.load(Ordering::Relaxed);
            match (at, index.checked_sub(REDIRECTION)) {
                (SELECT, _) => self.index.store(value as u32, Ordering::Relaxed),
                (_, Some(entry)) => {
                    self.entries[entry as usize].store(value as u32, Ordering::Relaxed);
                }
                (_, None) => {}
            }
            Ok(())
        }
    }

    struct Counter(AtomicU32);

    impl InterruptHandler for Counter {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const ROUTE: Route = Route {
        trigger: Trigger::LevelLow,
        vector: Vector(0x41),
        apic_id: 3,
    };

    #[test]
    fn all_pins_are_masked_and_no_others_touched() {
        let chip = Chip::new();
        let mut ioapic = IoApic::new(&chip).expect("it answers");
        assert_eq!(ioapic.pin_count(), 24);
        ioapic.mask_all();
        for pin in 0..24 {
            assert_eq!(chip.entry(pin), (0xee, 0xee | MASKED));
        }
    }

    #[test]
    fn where_nothing_answers_there_is_no_ioapic() {
        let registers = hardware::TestRegisters::new(0x20);
        registers.set(WINDOW, Width::Dword, u32::MAX.into());
        assert_eq!(IoApic::new(&registers).err(), Some(IoApicError::Absent));
        let short = hardware::TestRegisters::new(0x10);
        assert_eq!(IoApic::new(&short).err(), Some(IoApicError::Absent));
    }

    #[test]
    fn a_level_is_masked_from_its_interrupt_to_its_acknowledgement() {
        let chip = Chip::new();
        let ioapic = Mutex::new(IoApic::new(&chip).expect("it answers"));
        let counter = Counter(AtomicU32::new(0));
        let line = IoApicLine::new(&ioapic, 5, ROUTE, &counter).expect("it has the pin");
        let open = LEVEL | ACTIVE_LOW | 0x41;
        assert_eq!(chip.entry(5), (3 << 24, open | MASKED), "masked at first");
        line.enable();
        assert_eq!(chip.entry(5).1, open);
        line.interrupt();
        assert_eq!(chip.entry(5).1, open | MASKED);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        line.acknowledge();
        assert_eq!(chip.entry(5).1, open);
        line.interrupt();
        line.mask();
        line.acknowledge();
        assert_eq!(chip.entry(5).1, open | MASKED, "the driver masked it");
        assert_eq!(chip.entry(4), (0xee, 0xee));
    }

    #[test]
    fn an_edge_is_not_masked_by_its_interrupt() {
        let chip = Chip::new();
        let ioapic = Mutex::new(IoApic::new(&chip).expect("it answers"));
        let counter = Counter(AtomicU32::new(0));
        let route = Route {
            trigger: Trigger::Edge,
            ..ROUTE
        };
        let line = IoApicLine::new(&ioapic, 0, route, &counter).expect("it has the pin");
        line.enable();
        line.interrupt();
        line.acknowledge();
        assert_eq!(chip.entry(0).1, 0x41);
    }

    #[test]
    fn a_pin_that_is_not_there_is_refused() {
        let chip = Chip::new();
        let ioapic = Mutex::new(IoApic::new(&chip).expect("it answers"));
        let counter = Counter(AtomicU32::new(0));
        assert!(IoApicLine::new(&ioapic, 24, ROUTE, &counter).is_err());
    }
}
