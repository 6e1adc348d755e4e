//! 82093AA IOAPIC with 24 pins: lines in, messages out.
//!
//! Follows the 82093AA datasheet, sections 3.0 to 3.2; version 0x20 adds the EOI register at 0x40, as in Intel's ICH
//! datasheets ("I/O APIC", EOIR). Pins are logical (asserted or not), so the polarity bit is stored and means nothing.

use crate::message::{ApicMessage, Delivery, DestinationMode, Trigger, widen};
use device::{BadState, Device, Level, MmioDevice, Page, Persist, Refused, State, Width};
use serde::{Deserialize, Serialize};
use x86::Vector;

/// Number of pins it has.
pub const IOAPIC_PINS: u8 = pc_map::lines::COUNT;

const PINS: usize = IOAPIC_PINS as usize;

const IOREGSEL: u64 = 0x00;
const IOWIN: u64 = 0x10;
const EOI: u64 = 0x40;

const VERSION: u32 = 0x20 | (IOAPIC_PINS as u32 - 1) << 16;

const ENTRY_REMOTE_IRR: u32 = 1 << 14;
const ENTRY_LEVEL: u32 = 1 << 15;
const ENTRY_MASKED: u32 = 1 << 16;
/// Bits that a guest can write in the low half; delivery status and remote IRR are read-only.
const ENTRY_LOW_WRITABLE: u32 = 0x1_afff;
/// Bits that it can write in the high half.
const ENTRY_HIGH_WRITABLE: u32 = 0xfffe_0000;

/// The IOAPIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    id: u8,
    selected: u8,
    /// Low halves of the redirection entries, without remote IRR.
    low: [u32; PINS],
    high: [u32; PINS],
    /// One bit per pin, each: what the line carries.
    lines: u32,
    /// An edge that has not become a message yet.
    edges: u32,
    /// A level message is out and its EOI has not come back.
    remote_irr: u32,
    /// Of `low`: masked.
    masked: u32,
    /// Of `low`: level-triggered, and delivered as such.
    level: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// An IOAPIC with all pins masked and low.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            id: 0,
            selected: 0,
            low: [ENTRY_MASKED; PINS],
            high: [0; PINS],
            lines: 0,
            edges: 0,
            remote_irr: 0,
            masked: (1 << IOAPIC_PINS) - 1,
            level: 0,
        }
    }

    /// Sets the level of the line at `pin`; pins that are not there are ignored.
    #[inline]
    pub fn set_pin(&mut self, pin: u8, level: Level) {
        let Some(bit) = bit(pin) else { return };
        if !level.is_high() {
            self.lines &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.note_edge(bit);
        }
    }

    /// One tick at `pin`: up and down again. Lost at a level-triggered pin, as on the chip.
    #[inline]
    pub fn pulse(&mut self, pin: u8) {
        if let Some(bit) = bit(pin) {
            self.note_edge(bit);
        }
    }

    /// An edge at a masked pin is neither delivered nor kept. (82093AA 3.2.4, interrupt mask)
    fn note_edge(&mut self, bit: u32) {
        self.edges |= bit & !self.level & !self.masked;
    }

    /// Takes the next message; to be asked until it says no.
    #[inline]
    pub fn next_message(&mut self) -> Option<ApicMessage> {
        let held = self.lines & self.level & !self.remote_irr;
        let ready = (self.edges | held) & !self.masked;
        if ready == 0 {
            return None;
        }
        self.message(ready.trailing_zeros() as usize)
    }

    fn message(&mut self, pin: usize) -> Option<ApicMessage> {
        let bit = 1u32 << pin;
        let (low, high) = (*self.low.get(pin)?, *self.high.get(pin)?);
        self.edges &= !bit;
        self.remote_irr |= self.level & bit;
        let mode = if low & 1 << 11 != 0 {
            DestinationMode::Logical
        } else {
            DestinationMode::Physical
        };
        Some(ApicMessage {
            destination: widen(high >> 24, high >> 17 & 0x7f, mode),
            mode,
            delivery: delivery(low)?,
            vector: Vector(low as u8),
            trigger: if self.level & bit != 0 {
                Trigger::Level
            } else {
                Trigger::Edge
            },
        })
    }

    /// An EOI for `vector` arrived; level pins with it that are still high become messages again.
    pub fn end_of_interrupt(&mut self, vector: Vector) {
        let mut waiting = self.remote_irr;
        while waiting != 0 {
            let pin = waiting.trailing_zeros() as usize;
            waiting &= waiting - 1;
            if self.low.get(pin).is_some_and(|low| *low as u8 == vector.0) {
                self.remote_irr &= !(1 << pin);
            }
        }
    }

    fn read_selected(&self) -> u32 {
        match self.selected {
            0 | 2 => u32::from(self.id) << 24,
            1 => VERSION,
            index => {
                let (pin, is_high) = entry_index(index);
                if is_high {
                    self.high.get(pin).copied().unwrap_or(0)
                } else {
                    let irr = if self.remote_irr >> (pin & 31) & 1 != 0 {
                        ENTRY_REMOTE_IRR
                    } else {
                        0
                    };
                    self.low.get(pin).map_or(0, |low| low | irr)
                }
            }
        }
    }

    fn write_selected(&mut self, value: u32) {
        match self.selected {
            0 => self.id = (value >> 24) as u8 & 0xf,
            1 | 2 => {}
            index => {
                let (pin, is_high) = entry_index(index);
                if is_high {
                    if let Some(high) = self.high.get_mut(pin) {
                        *high = value & ENTRY_HIGH_WRITABLE;
                    }
                } else {
                    self.write_low(pin, value & ENTRY_LOW_WRITABLE);
                }
            }
        }
    }

    fn write_low(&mut self, pin: usize, value: u32) {
        let Some(low) = self.low.get_mut(pin) else {
            return;
        };
        *low = value;
        let bit = 1u32 << pin;
        // NMI, SMI, INIT and ExtINT are edges whatever the trigger bit says.
        let is_level = value & ENTRY_LEVEL != 0
            && matches!(
                delivery(value),
                Some(Delivery::Fixed | Delivery::LowestPriority)
            );
        // A reserved delivery mode can send nothing, which is what a masked pin does.
        let is_masked = value & ENTRY_MASKED != 0 || delivery(value).is_none();
        self.masked = self.masked & !bit | if is_masked { bit } else { 0 };
        self.level = self.level & !bit | if is_level { bit } else { 0 };
        if is_level {
            self.edges &= !bit;
        } else {
            // Going through edge mode is how drivers without an EOI register end a level interrupt.
            self.remote_irr &= !bit;
        }
    }
}

/// The bit of a pin that exists.
fn bit(pin: u8) -> Option<u32> {
    (pin < IOAPIC_PINS).then(|| 1 << pin)
}

/// Delivery mode of a redirection entry's low half; start-up is reserved here.
fn delivery(low: u32) -> Option<Delivery> {
    Delivery::from_bits(low >> 8).filter(|delivery| *delivery != Delivery::StartUp)
}

/// Pin and half (true: high) that a register index from 0x10 on names; a pin out of range for other indices.
fn entry_index(index: u8) -> (usize, bool) {
    let offset = usize::from(index).wrapping_sub(0x10);
    (offset / 2, offset % 2 == 1)
}

/// Its registers, and what is under way. Not the levels of its lines, which are theirs who hold them.
#[derive(Serialize, Deserialize)]
pub struct IoApicState {
    id: u8,
    selected: u8,
    low: [u32; PINS],
    high: [u32; PINS],
    edges: u32,
    remote_irr: u32,
}

impl State for IoApicState {}

impl Persist for IoApic {
    type State = IoApicState;

    fn state(&self) -> IoApicState {
        let Self {
            id,
            selected,
            low,
            high,
            lines: _,
            edges,
            remote_irr,
            // Both follow from `low`.
            masked: _,
            level: _,
        } = *self;
        IoApicState {
            id,
            selected,
            low,
            high,
            edges,
            remote_irr,
        }
    }

    fn set_state(&mut self, state: IoApicState) -> Result<(), BadState> {
        let has_only =
            |halves: &[u32], writable: u32| halves.iter().all(|half| half & !writable == 0);
        BadState::unless(state.id <= 0xf, "the id has more than four bits")?;
        BadState::unless(
            has_only(&state.low, ENTRY_LOW_WRITABLE) && has_only(&state.high, ENTRY_HIGH_WRITABLE),
            "an entry has reserved bits",
        )?;
        let mut restored = Self {
            id: state.id,
            selected: state.selected,
            high: state.high,
            lines: self.lines,
            ..Self::new()
        };
        for (pin, low) in state.low.into_iter().enumerate() {
            restored.write_low(pin, low);
        }
        let pins = (1 << IOAPIC_PINS) - 1;
        BadState::unless(
            state.edges & !(pins & !restored.level) == 0,
            "an edge waits at a pin that has none",
        )?;
        BadState::unless(
            state.remote_irr & !restored.level == 0,
            "the EOI of an edge is awaited",
        )?;
        (restored.edges, restored.remote_irr) = (state.edges, state.remote_irr);
        *self = restored;
        Ok(())
    }
}

impl Device for IoApic {
    fn reset(&mut self) {
        let Self {
            id,
            selected,
            low,
            high,
            lines: _, // What devices hold is theirs to change.
            edges,
            remote_irr,
            masked,
            level,
        } = self;
        let Self {
            masked: all_masked, ..
        } = Self::new();
        (*id, *selected, *edges, *remote_irr, *level) = (0, 0, 0, 0, 0);
        *low = [ENTRY_MASKED; PINS];
        *high = [0; PINS];
        *masked = all_masked;
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("id", self.id);
        page.line("lines", format_args!("{:#08x}", self.lines));
        page.line("remote irr", format_args!("{:#08x}", self.remote_irr));
        for (pin, (low, high)) in self.low.iter().zip(&self.high).enumerate() {
            if low & ENTRY_MASKED == 0 {
                page.line("pin", format_args!("{pin:2} {high:08x}_{low:08x}"));
            }
        }
    }
}

impl MmioDevice for IoApic {
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused> {
        let value = match at {
            IOREGSEL => u32::from(self.selected),
            IOWIN => self.read_selected(),
            EOI => 0,
            _ => return Err(Refused::NoRegister),
        };
        match width {
            Width::Qword => Err(Refused::WrongWidth),
            Width::Byte | Width::Word | Width::Dword => Ok(width.truncate(u64::from(value))),
        }
    }

    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        match (at, width) {
            (IOREGSEL, Width::Byte | Width::Word | Width::Dword) => self.selected = value as u8,
            (IOWIN, Width::Dword) => self.write_selected(value as u32),
            (EOI, Width::Byte | Width::Word | Width::Dword) => {
                self.end_of_interrupt(Vector(value as u8));
            }
            (IOREGSEL | IOWIN | EOI, _) => return Err(Refused::WrongWidth),
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
