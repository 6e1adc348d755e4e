//! HPET with three timers and a 64-bit counter at 100 MHz.
//!
//! Follows the IA-PC HPET specification 1.0a, section 2.3. No FSB (message) delivery. Timers may be routed to IOAPIC pins 20 to
//! 23, or replace PIT and RTC: then timer 0 drives pin 2 (IRQ 0 at the PIC pair) and timer 1 pin 8 (IRQ 8).

mod state;

use crate::hpet_timer::HpetTimer;
use device::{Device, Level, MmioDevice, Page, Refused, Width};
use serde::{Deserialize, Serialize};
use time::Instant;

/// Bytes of its register window.
pub const HPET_BYTES: u64 = 0x400;
/// Frequency of the main counter.
pub const HPET_HZ: u64 = 100_000_000;
/// Low half of the capabilities register, which the ACPI table repeats as "event timer block id".
pub const HPET_BLOCK_ID: u32 = 0x8086_a201;

pub(crate) const NS_PER_TICK: u64 = 1_000_000_000 / HPET_HZ;
const FS_PER_TICK: u64 = NS_PER_TICK * 1_000_000;
const CAPABILITIES: u64 = FS_PER_TICK << 32 | HPET_BLOCK_ID as u64;

const TIMERS: usize = 3;

const CONFIG_ENABLED: u8 = 1 << 0;
const CONFIG_LEGACY: u8 = 1 << 1;

const CAPABILITIES_AT: u64 = 0x000;
const CONFIG_AT: u64 = 0x010;
const STATUS_AT: u64 = 0x020;
const COUNTER_AT: u64 = 0x0f0;
const TIMERS_AT: u64 = 0x100;

/// Event at a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HpetSignal {
    /// One tick.
    Pulse,
    /// The HPET's share of the line changed to this.
    Hold(Level),
}

/// A change at a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HpetEvent {
    /// IOAPIC pin. Pins 2 and 8 come with legacy replacement only and are IRQ 0 and 8 at the PIC pair.
    pub pin: u8,
    /// Event at that pin.
    pub signal: HpetSignal,
}

/// The HPET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hpet {
    now: Instant,
    config: u8,
    /// Interrupt status: level timers that have fired.
    status: u8,
    /// Edge timers whose pulse nobody has taken.
    pulses: u8,
    /// The counter while it stands; while it runs, what to add to the time in ticks.
    base: u64,
    /// The counter when timers were last looked at.
    seen: u64,
    timers: [HpetTimer; TIMERS],
    /// Pins that were last reported high.
    driven: u32,
}

impl Default for Hpet {
    fn default() -> Self {
        Self::new()
    }
}

impl Hpet {
    /// A stopped HPET.
    #[must_use]
    pub fn new() -> Self {
        Self {
            now: Instant::from_ns(0),
            config: 0,
            status: 0,
            pulses: 0,
            base: 0,
            seen: 0,
            timers: Default::default(),
            driven: 0,
        }
    }

    /// Returns whether timers 0 and 1 have taken the places of PIT and RTC, whose interrupts go
    /// nowhere meanwhile.
    #[must_use]
    pub const fn is_legacy_replacement(&self) -> bool {
        self.config & CONFIG_LEGACY != 0
    }

    const fn is_running(&self) -> bool {
        self.config & CONFIG_ENABLED != 0
    }

    /// The main counter.
    #[inline]
    const fn counter(&self) -> u64 {
        if self.is_running() {
            self.base.wrapping_add(self.now.as_ns() / NS_PER_TICK)
        } else {
            self.base
        }
    }

    fn pin(&self, index: usize) -> u8 {
        match (self.is_legacy_replacement(), index) {
            (true, 0) => 2,
            (true, 1) => 8,
            _ => self.timers.get(index).map_or(0, HpetTimer::route),
        }
    }

    /// Pins that level timers hold high.
    fn held(&self) -> u32 {
        let mut held = 0;
        for (index, timer) in self.timers.iter().enumerate() {
            if self.status >> index & 1 != 0 && timer.is_level() && timer.is_interrupting() {
                held |= 1 << (self.pin(index) & 31);
            }
        }
        held
    }

    /// Returns the level that timer `index` holds at its pin; low for edge timers.
    #[must_use]
    pub fn level(&self, index: usize) -> Level {
        Level::when(self.timers.get(index).is_some_and(|timer| {
            self.status >> (index & 7) & 1 != 0 && timer.is_level() && timer.is_interrupting()
        }))
    }

    /// Takes the next change at a pin; to be asked until it says no.
    pub fn take_event(&mut self) -> Option<HpetEvent> {
        if self.pulses != 0 {
            let index = self.pulses.trailing_zeros() as usize;
            self.pulses &= self.pulses - 1;
            return Some(HpetEvent {
                pin: self.pin(index),
                signal: HpetSignal::Pulse,
            });
        }
        let held = self.held();
        let changed = held ^ self.driven;
        if changed == 0 {
            return None;
        }
        let pin = changed.trailing_zeros() as u8;
        self.driven ^= 1 << pin;
        Some(HpetEvent {
            pin,
            signal: HpetSignal::Hold(Level::when(held >> pin & 1 != 0)),
        })
    }

    fn write_config(&mut self, value: u8) {
        let counter = self.counter();
        self.config = value & (CONFIG_ENABLED | CONFIG_LEGACY);
        self.set_counter(counter);
    }

    fn set_counter(&mut self, counter: u64) {
        self.base = if self.is_running() {
            counter.wrapping_sub(self.now.as_ns() / NS_PER_TICK)
        } else {
            counter
        };
        self.seen = counter;
    }

    /// The 64-bit register at `at`, a multiple of 8.
    fn register(&self, at: u64) -> Option<u64> {
        match at {
            CAPABILITIES_AT => Some(CAPABILITIES),
            CONFIG_AT => Some(u64::from(self.config)),
            STATUS_AT => Some(u64::from(self.status)),
            COUNTER_AT => Some(self.counter()),
            _ => {
                let (index, register) = timer_register(at)?;
                self.timers.get(index)?.register(register)
            }
        }
    }

    /// Writes those bits of the register at `at` that `mask` has.
    fn write_register(&mut self, at: u64, mask: u64, value: u64) {
        let merged = |old: u64| old & !mask | value & mask;
        match at {
            CONFIG_AT => self.write_config(merged(u64::from(self.config)) as u8),
            STATUS_AT => self.status &= !((value & mask) as u8),
            // Only meant to be written while it stands.
            COUNTER_AT => self.set_counter(merged(self.counter())),
            _ => {
                if let Some((index, register)) = timer_register(at)
                    && let Some(timer) = self.timers.get_mut(index)
                {
                    timer.write(register, mask, value);
                    if !timer.is_level() {
                        self.status &= !(1 << index);
                    }
                }
            }
        }
    }
}

/// Timer and register within it.
fn timer_register(at: u64) -> Option<(usize, u64)> {
    let offset = at.checked_sub(TIMERS_AT)?;
    let index = usize::try_from(offset / 0x20).ok()?;
    (index < TIMERS).then_some((index, offset % 0x20))
}

impl Device for Hpet {
    fn reset(&mut self) {
        let Self {
            now: _,
            config,
            status,
            pulses,
            base,
            seen,
            timers,
            driven: _, // What was reported high is still to be reported low.
        } = self;
        (*config, *status, *pulses, *base, *seen) = (0, 0, 0, 0, 0);
        *timers = Default::default();
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        if !self.is_running() {
            return;
        }
        let counter = self.counter();
        for (index, timer) in self.timers.iter_mut().enumerate() {
            if timer.advance(self.seen, counter) {
                if timer.is_level() {
                    self.status |= 1 << index;
                } else if timer.is_interrupting() {
                    self.pulses |= 1 << index;
                }
            }
        }
        self.seen = counter;
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.is_running() {
            return None;
        }
        let ticks = self
            .timers
            .iter()
            .enumerate()
            // A level that stands already cannot be raised again.
            .filter(|(index, timer)| timer.is_interrupting() && self.status >> index & 1 == 0)
            .map(|(_, timer)| timer.ticks_to_wake(self.seen))
            .min()?;
        let seen_ticks = self.seen.wrapping_sub(self.base);
        let at = seen_ticks.saturating_add(ticks);
        Some(Instant::from_ns(at.saturating_mul(NS_PER_TICK)))
    }

    fn line(&self) -> Level {
        Level::when(self.held() != 0)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("config", format_args!("{:#x}", self.config));
        page.line("counter", format_args!("{:#x}", self.counter()));
        page.line("status", format_args!("{:#x}", self.status));
        for (index, timer) in self.timers.iter().enumerate() {
            page.line("timer", format_args!("{index} {timer}"));
        }
    }
}

impl MmioDevice for Hpet {
    #[inline]
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused> {
        let byte = at & 7;
        if at >= HPET_BYTES {
            return Err(Refused::NoRegister);
        }
        if byte + u64::from(width.bytes()) > 8 {
            return Err(Refused::Misaligned);
        }
        if at & !7 == COUNTER_AT {
            return Ok(width.truncate(self.counter() >> (byte * 8)));
        }
        // What is reserved in the block reads as zero.
        let value = self.register(at & !7).unwrap_or(0);
        Ok(width.truncate(value >> (byte * 8)))
    }

    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        let byte = at & 7;
        if at >= HPET_BYTES {
            return Err(Refused::NoRegister);
        }
        match (width, byte) {
            (Width::Dword, 0 | 4) | (Width::Qword, 0) => {}
            (Width::Dword | Width::Qword, _) => return Err(Refused::Misaligned),
            (Width::Byte | Width::Word, _) => return Err(Refused::WrongWidth),
        }
        let shift = byte * 8;
        self.write_register(at & !7, width.ones() << shift, value << shift);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
