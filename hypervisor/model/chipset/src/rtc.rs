//! MC146818 real-time clock with 128 bytes of CMOS RAM, at ports 0x70 (index) and 0x71 (data).
//!
//! Follows the MC146818A datasheet, and the PC's conventions for the RAM: memory size in 0x15–0x18, 0x30/0x31, 0x34/0x35 and
//! 0x5B–0x5D, century in 0x32. The index port's NMI bit is ignored. Seconds change on whole seconds of [`Instant`].

mod cmos;
mod state;

pub use cmos::CmosMemory;

use crate::calendar::Calendar;
use crate::frequency::Hertz;
use alloc::vec::Vec;
use device::{Device, Level, Page, PioDevice, Refused, Width};
use time::Instant;

/// Crystal.
const CLOCK: Hertz = Hertz(32_768);
const NS_PER_S: u64 = 1_000_000_000;
/// The update-in-progress flag comes this much before the update.
const UIP_NS: u64 = 244_000;

const CMOS_BYTES: usize = 128;
const REG_A: u8 = 0x0a;
const REG_B: u8 = 0x0b;
const REG_C: u8 = 0x0c;
const REG_D: u8 = 0x0d;
const CENTURY: u8 = 0x32;

const A_UIP: u8 = 1 << 7;
const B_SET: u8 = 1 << 7;
const B_UPDATE: u8 = 1 << 4;
const B_BINARY: u8 = 1 << 2;
const B_24_HOURS: u8 = 1 << 1;
const D_VALID: u8 = 1 << 7;

/// Periodic, alarm and update: the same bits enable in B and tell in C.
const PERIODIC: u8 = 1 << 6;
const ALARM: u8 = 1 << 5;
const UPDATE: u8 = B_UPDATE;
const SOURCES: u8 = PERIODIC | ALARM | UPDATE;
const C_IRQ: u8 = 1 << 7;

/// An alarm byte from here on matches everything.
const DONT_CARE: u8 = 0xc0;

/// The clock and its RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtc {
    /// Seconds since 1970 at [`Instant`] zero: wiring.
    epoch: i64,
    /// Contents of the RAM that firmware finds at every start: wiring.
    memory: CmosMemory,
    /// Seconds that are added to `epoch` until the next reset: in a VM whose state is of another host.
    shift: i64,
    now: Instant,
    /// Time by which the guest has set its clock ahead, in seconds.
    ahead: i64,
    /// The fields while SET stops the clock.
    held: Option<Calendar>,
    index: u8,
    a: u8,
    b: u8,
    flags: u8,
    /// Alarm bytes (1, 3, 5) and RAM; the registers' own places are unused.
    cmos: Vec<u8>,
    /// The last second whose update and alarm have been noted.
    seen: i64,
    /// The crystal's tick of the next periodic interrupt.
    next_periodic: u64,
}

impl Rtc {
    /// A clock that shows `epoch` seconds since 1970-01-01 at [`Instant`] zero, with the memory's size in its RAM.
    #[must_use]
    pub fn new(epoch: u64, memory: CmosMemory) -> Self {
        let mut rtc = Self {
            epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
            memory,
            shift: 0,
            now: Instant::from_ns(0),
            ahead: 0,
            held: None,
            index: 0,
            a: 0x26,
            b: B_24_HOURS,
            flags: 0,
            cmos: alloc::vec![0; CMOS_BYTES],
            seen: 0,
            next_periodic: 0,
        };
        memory.write_to(&mut rtc.cmos);
        rtc.seen = rtc.seconds();
        rtc
    }

    /// Seconds since 1970 at [`Instant`] zero.
    const fn zero(&self) -> i64 {
        self.epoch.saturating_add(self.shift)
    }

    /// Returns the time that the clock shows, in seconds since 1970.
    fn seconds(&self) -> i64 {
        let passed = (self.now.as_ns() / NS_PER_S) as i64;
        self.zero()
            .saturating_add(passed)
            .saturating_add(self.ahead)
    }

    /// When the clock will show `seconds`.
    fn instant_of(&self, seconds: i64) -> Instant {
        let from_zero = seconds
            .saturating_sub(self.zero())
            .saturating_sub(self.ahead);
        Instant::from_ns(
            u64::try_from(from_zero)
                .unwrap_or(0)
                .saturating_mul(NS_PER_S),
        )
    }

    fn calendar(&self) -> Calendar {
        self.held
            .unwrap_or_else(|| Calendar::from_seconds(self.seconds()))
    }

    fn set_calendar(&mut self, calendar: Calendar) {
        if self.held.is_some() {
            self.held = Some(calendar);
        } else {
            self.ahead = self
                .ahead
                .saturating_add(calendar.to_seconds().saturating_sub(self.seconds()));
            self.seen = self.seconds();
        }
    }

    fn load(&self, index: u8) -> u8 {
        self.cmos.get(usize::from(index)).copied().unwrap_or(0)
    }

    fn store(&mut self, index: u8, value: u8) {
        if let Some(byte) = self.cmos.get_mut(usize::from(index)) {
            *byte = value;
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.b & B_BINARY != 0 {
            value
        } else {
            ((value / 10 % 10) << 4) | (value % 10)
        }
    }

    fn decode(&self, raw: u8) -> u8 {
        if self.b & B_BINARY != 0 {
            raw
        } else {
            (raw >> 4).wrapping_mul(10).wrapping_add(raw & 0xf)
        }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.b & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let twelve = if hour.is_multiple_of(12) {
            12
        } else {
            hour % 12
        };
        self.encode(twelve) | u8::from(hour >= 12) << 7
    }

    fn decode_hour(&self, raw: u8) -> u8 {
        if self.b & B_24_HOURS != 0 {
            return self.decode(raw);
        }
        self.decode(raw & 0x7f) % 12 + 12 * (raw >> 7)
    }

    /// The first second after `after` that the alarm matches. At most 24 + 60 + 60 steps and a few.
    fn next_alarm(&self, after: i64) -> Option<i64> {
        let wanted = |index: u8| Some(self.load(index)).filter(|raw| *raw < DONT_CARE);
        let second = wanted(1).map(|raw| i64::from(self.decode(raw)));
        let minute = wanted(3).map(|raw| i64::from(self.decode(raw)));
        // In 12-hour mode bit 7 is PM, and "don't care" is still 0xC0 and up.
        let hour = wanted(5).map(|raw| i64::from(self.decode_hour(raw)));
        let mut at = after.saturating_add(1);
        for _ in 0..160 {
            let step = if hour.is_some_and(|hour| at / 3600 % 24 != hour) {
                3600 - at % 3600
            } else if minute.is_some_and(|minute| at / 60 % 60 != minute) {
                60 - at % 60
            } else if second.is_some_and(|second| at % 60 != second) {
                1
            } else {
                return Some(at);
            };
            at = at.checked_add(step)?;
        }
        None
    }

    /// Crystal ticks between periodic interrupts. (MC146818A table 5)
    const fn periodic_ticks(&self) -> Option<u64> {
        match self.a & 0xf {
            0 => None,
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    /// Nothing that is before now is due.
    fn follow_time(&mut self) {
        self.seen = self.seconds();
        self.restart_periodic();
    }

    fn restart_periodic(&mut self) {
        let period = self.periodic_ticks().unwrap_or(1);
        self.next_periodic = (CLOCK.ticks_at(self.now) / period + 1).saturating_mul(period);
    }

    fn read_data(&mut self) -> u8 {
        let calendar = self.calendar();
        match self.index {
            0x00 => self.encode(calendar.second),
            0x02 => self.encode(calendar.minute),
            0x04 => self.encode_hour(calendar.hour),
            0x06 => calendar.weekday,
            0x07 => self.encode(calendar.day),
            0x08 => self.encode(calendar.month),
            0x09 => self.encode(calendar.year),
            CENTURY => self.encode(calendar.century),
            REG_A => {
                let is_updating =
                    self.held.is_none() && self.now.as_ns() % NS_PER_S >= NS_PER_S - UIP_NS;
                self.a | if is_updating { A_UIP } else { 0 }
            }
            REG_B => self.b,
            REG_C => {
                let irq = if self.line().is_high() { C_IRQ } else { 0 };
                core::mem::take(&mut self.flags) | irq
            }
            REG_D => D_VALID,
            index => self.load(index),
        }
    }

    fn write_data(&mut self, value: u8) {
        let mut calendar = self.calendar();
        match self.index {
            0x00 => calendar.second = self.decode(value),
            0x02 => calendar.minute = self.decode(value),
            0x04 => calendar.hour = self.decode_hour(value),
            0x06 => calendar.weekday = value,
            0x07 => calendar.day = self.decode(value),
            0x08 => calendar.month = self.decode(value),
            0x09 => calendar.year = self.decode(value),
            CENTURY => calendar.century = self.decode(value),
            REG_A => {
                self.a = value & !A_UIP;
                self.restart_periodic();
                return;
            }
            REG_B => return self.write_b(value),
            REG_C | REG_D => return,
            index => return self.store(index, value),
        }
        self.set_calendar(calendar);
    }

    fn write_b(&mut self, value: u8) {
        if value & B_SET != 0 {
            self.held = Some(self.calendar());
            // SET takes the update interrupt's enable bit away. (MC146818A, register B)
            self.b = value & !B_UPDATE;
        } else {
            self.b = value;
            if let Some(calendar) = self.held.take() {
                self.set_calendar(calendar);
            }
        }
    }
}

impl Device for Rtc {
    fn reset(&mut self) {
        let Self {
            // The battery keeps the time, the RAM and the rate.
            epoch: _,
            memory: _,
            now: _,
            ahead: _,
            held: _,
            cmos: _,
            a: _,
            // They follow from the time, which a new life begins anew.
            seen: _,
            next_periodic: _,
            shift,
            index,
            b,
            flags,
        } = self;
        *shift = 0;
        *index = 0;
        *b &= B_SET | B_BINARY | B_24_HOURS | 1;
        *flags = 0;
        self.memory.write_to(&mut self.cmos);
        self.follow_time();
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        if self.periodic_ticks().is_some() && CLOCK.ticks_at(now) >= self.next_periodic {
            self.flags |= PERIODIC;
            self.restart_periodic();
        }
        let seconds = self.seconds();
        if self.held.is_none() && seconds > self.seen {
            self.flags |= UPDATE;
            if self.next_alarm(self.seen).is_some_and(|at| at <= seconds) {
                self.flags |= ALARM;
            }
            self.seen = seconds;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.line().is_high() {
            return None;
        }
        let periodic = (self.b & PERIODIC != 0 && self.periodic_ticks().is_some())
            .then(|| CLOCK.instant_of(self.next_periodic));
        let is_ticking = self.held.is_none();
        let update = (is_ticking && self.b & UPDATE != 0)
            .then(|| self.instant_of(self.seen.saturating_add(1)));
        let alarm = (is_ticking && self.b & ALARM != 0)
            .then(|| self.next_alarm(self.seen))
            .flatten()
            .map(|at| self.instant_of(at));
        [periodic, update, alarm].into_iter().flatten().min()
    }

    /// IRQ 8; stands until register C is read.
    fn line(&self) -> Level {
        Level::when(self.flags & self.b & SOURCES != 0)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        let at = self.calendar();
        page.line(
            "time",
            format_args!(
                "{:02}{:02}-{:02}-{:02} {:02}:{:02}:{:02}",
                at.century, at.year, at.month, at.day, at.hour, at.minute, at.second
            ),
        );
        page.line(
            "a b c",
            format_args!("{:#04x} {:#04x} {:#04x}", self.a, self.b, self.flags),
        );
    }
}

impl PioDevice for Rtc {
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            // The index cannot be read back.
            (0, Width::Byte) => Ok(0xff),
            (1, Width::Byte) => Ok(u32::from(self.read_data())),
            (0 | 1, _) => Err(Refused::WrongWidth),
            _ => Err(Refused::NoRegister),
        }
    }

    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (0, Width::Byte) => self.index = value as u8 & 0x7f,
            (1, Width::Byte) => self.write_data(value as u8),
            (0 | 1, _) => return Err(Refused::WrongWidth),
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
