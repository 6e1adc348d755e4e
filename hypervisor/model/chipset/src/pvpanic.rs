//! pvpanic: the port by which a guest says that it has panicked.
//!
//! Follows QEMU's `docs/specs/pvpanic.rst`, "ISA Interface": one byte, which reads as the events
//! that are known and takes the event that happened.

use device::{BadState, Device, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};

/// The port.
pub const PVPANIC_PORT: u16 = *pc_map::ports::PVPANIC.start();

const PANICKED: u8 = 1 << 0;
const CRASH_LOADED: u8 = 1 << 1;
const SHUT_DOWN: u8 = 1 << 2;
const SUPPORTED: u8 = PANICKED | CRASH_LOADED | SHUT_DOWN;

/// An event that a guest reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestEvent {
    /// The guest has panicked and leaves the rest to the host.
    Panicked,
    /// The guest has panicked and handles it itself, by a crash kernel: to be told, no more.
    CrashLoaded,
    /// The guest has shut down in an orderly way.
    ShutDown,
}

impl GuestEvent {
    /// The event of a byte that was written; of several, the gravest. Unknown bits are ignored.
    const fn of(byte: u8) -> Option<Self> {
        if byte & PANICKED != 0 {
            Some(Self::Panicked)
        } else if byte & CRASH_LOADED != 0 {
            Some(Self::CrashLoaded)
        } else if byte & SHUT_DOWN != 0 {
            Some(Self::ShutDown)
        } else {
            None
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::CrashLoaded => "panicked, crash kernel loaded",
            Self::ShutDown => "shut down",
        }
    }
}

/// The device. Nothing in it is wiring, and its events and their count are only told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pvpanic {
    /// To be told.
    event: Option<GuestEvent>,
    last: Option<GuestEvent>,
    count: u64,
}

impl Pvpanic {
    /// A device that was told nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            event: None,
            last: None,
            count: 0,
        }
    }

    /// Takes the event that was reported last, if it was not taken yet.
    pub fn take_event(&mut self) -> Option<GuestEvent> {
        self.event.take()
    }
}

impl State for Pvpanic {}

impl Persist for Pvpanic {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        *self = state;
        Ok(())
    }
}

impl Device for Pvpanic {
    fn reset(&mut self) {
        let Self { event, last, count } = self;
        (*event, *last, *count) = (None, None, 0);
    }

    fn inspect(&self, page: &mut Page<'_>) {
        let last = self.last.map_or("none", GuestEvent::name);
        page.line("last event", last);
        page.line("events", self.count);
    }
}

impl PioDevice for Pvpanic {
    /// Reads the events that are known.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (0, Width::Byte) => Ok(SUPPORTED.into()),
            (0, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }

    /// Reports an event.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (0, Width::Byte) => {
                if let Some(event) = GuestEvent::of(value as u8) {
                    (self.event, self.last) = (Some(event), Some(event));
                    self.count = self.count.saturating_add(1);
                }
                Ok(())
            }
            (0, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn every_access_does_as_the_table_says() {
        use GuestEvent::{CrashLoaded, Panicked, ShutDown};
        let known = Ok(7);
        // A byte that is written, and the event it makes.
        let table = [
            (0x00, None),
            (0x01, Some(Panicked)),
            (0x02, Some(CrashLoaded)),
            (0x03, Some(Panicked)),
            (0x04, Some(ShutDown)),
            (0x06, Some(CrashLoaded)),
            (0xf8, None),
            (0xff, Some(Panicked)),
            (0x100, None),
        ];
        for (value, event) in table {
            let mut pvpanic = Pvpanic::new();
            assert_eq!(pvpanic.read(0, Width::Byte), known);
            assert_eq!(pvpanic.write(0, Width::Byte, value), Ok(()), "{value:#x}");
            assert_eq!(pvpanic.take_event(), event, "{value:#x}");
            assert_eq!(pvpanic.take_event(), None, "{value:#x}");
            assert_eq!(pvpanic.read(0, Width::Byte), known);
        }
        for (at, width, refused) in [
            (0, Width::Word, Refused::WrongWidth),
            (0, Width::Dword, Refused::WrongWidth),
            (1, Width::Byte, Refused::NoRegister),
            (u16::MAX, Width::Dword, Refused::NoRegister),
        ] {
            let mut pvpanic = Pvpanic::new();
            assert_eq!(pvpanic.read(at, width), Err(refused));
            assert_eq!(pvpanic.write(at, width, 1), Err(refused));
            assert_eq!(pvpanic, Pvpanic::new());
        }
    }

    #[test]
    fn the_operator_sees_the_last_event_until_a_reset() {
        let mut pvpanic = Pvpanic::new();
        let page = |pvpanic: &Pvpanic| {
            let mut text = String::new();
            pvpanic.inspect(&mut Page::new(&mut text));
            text
        };
        let fresh = page(&pvpanic);
        assert!(fresh.contains("none"), "{fresh}");
        pvpanic.write(0, Width::Byte, 2).expect("the port");
        pvpanic.write(0, Width::Byte, 1).expect("the port");
        let told = page(&pvpanic);
        assert!(
            told.contains("panicked\n") && told.contains(" 2\n"),
            "{told}"
        );
        pvpanic.reset();
        assert_eq!((page(&pvpanic), pvpanic.take_event()), (fresh, None));
    }
}
