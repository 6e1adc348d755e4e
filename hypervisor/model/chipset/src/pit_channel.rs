//! One of the 8254's counters, as a function of the input clocks that have passed.
//!
//! Follows the 82C54 datasheet (Intel order 231244), "Mode Definitions".

use core::fmt;
use device::BadState;
use serde::{Deserialize, Serialize};

/// Progress of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    /// No count written, or waiting for a trigger.
    Idle,
    /// Counting since this input clock.
    Since(u64),
    /// The gate stopped it after this many clocks.
    Paused(u64),
}

/// Which byte of a 16-bit count comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Half {
    Low,
    High,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Channel {
    /// RW, mode and BCD bits of the control word.
    control: u8,
    /// The count, 1 to 65,536 (10,000 in BCD).
    initial: u32,
    /// Low byte of a count half written.
    low: u8,
    write_half: Half,
    read_half: Half,
    latched: Option<u16>,
    status: Option<u8>,
    /// A control word was written and no count since.
    is_null: bool,
    /// Channel 2's follows from port 0x61; the others' are wired open.
    #[serde(skip)]
    gate: bool,
    progress: Progress,
}

impl Channel {
    pub(crate) const fn new(gate: bool) -> Self {
        Self {
            control: 0x30,
            initial: 0x1_0000,
            low: 0,
            write_half: Half::Low,
            read_half: Half::Low,
            latched: None,
            status: None,
            is_null: true,
            gate,
            progress: Progress::Idle,
        }
    }

    /// Checks one that was saved before `clock`, and gives it its gate.
    pub(crate) fn restored(self, clock: u64, gate: bool) -> Result<Self, BadState> {
        let restored = Self { gate, ..self };
        BadState::unless(
            restored.control <= 0x3f && restored.access() != 0,
            "a counter has no control word",
        )?;
        BadState::unless(
            matches!(restored.initial, 1..=0x1_0000),
            "a counter counts from a number that it does not have",
        )?;
        let is_possible = match (restored.progress, restored.mode()) {
            (Progress::Idle, _) => true,
            (Progress::Since(start), 1 | 5) => start <= clock,
            (Progress::Since(start), _) => gate && start <= clock,
            (Progress::Paused(elapsed), _) => !gate && elapsed <= clock,
        };
        BadState::unless(is_possible, "a counter is where it cannot be by now")?;
        Ok(restored)
    }

    /// Modes 0 to 5; 6 and 7 are 2 and 3.
    const fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            mode @ 0..=5 => mode,
            mode => mode - 4,
        }
    }

    const fn is_bcd(&self) -> bool {
        self.control & 1 != 0
    }

    /// Byte selection: 1 low, 2 high, 3 both.
    const fn access(&self) -> u8 {
        self.control >> 4 & 3
    }

    pub(crate) fn set_mode(&mut self, control: u8) {
        let Self { gate, initial, .. } = *self;
        *self = Self {
            control,
            initial,
            ..Self::new(gate)
        };
    }

    /// Clocks from one rising edge of OUT to the next, in the modes that repeat.
    pub(crate) const fn period(&self) -> Option<u64> {
        match self.mode() {
            2 | 3 => Some(self.initial as u64),
            _ => None,
        }
    }

    fn elapsed(&self, clock: u64) -> Option<u64> {
        match self.progress {
            Progress::Idle => None,
            Progress::Since(start) => Some(clock.saturating_sub(start)),
            Progress::Paused(elapsed) => Some(elapsed),
        }
    }

    /// The first rising edge of OUT after `clock`.
    pub(crate) fn next_edge(&self, clock: u64) -> Option<u64> {
        let Progress::Since(start) = self.progress else {
            return None;
        };
        let initial = u64::from(self.initial);
        let elapsed = clock.saturating_sub(start);
        match self.mode() {
            0 | 1 => (elapsed < initial).then(|| start + initial),
            2 | 3 => Some(start + (elapsed / initial.max(1) + 1) * initial),
            _ => (elapsed <= initial).then(|| start + initial + 1),
        }
    }

    /// Returns whether OUT is high.
    pub(crate) fn output(&self, clock: u64) -> bool {
        let initial = u64::from(self.initial);
        let Some(elapsed) = self.elapsed(clock) else {
            return self.mode() != 0;
        };
        match self.mode() {
            0 | 1 => elapsed >= initial,
            // A closed gate holds OUT high.
            2 => !self.gate || elapsed % initial.max(1) != initial.saturating_sub(1),
            3 => !self.gate || elapsed % initial.max(1) < initial.div_ceil(2),
            _ => elapsed != initial,
        }
    }

    /// The counting element.
    fn count(&self, clock: u64) -> u16 {
        let initial = u64::from(self.initial);
        let Some(elapsed) = self.elapsed(clock) else {
            return self.encode(initial);
        };
        let count = match self.mode() {
            2 => initial - elapsed % initial.max(1),
            3 => {
                // Counts by two, twice a period.
                let half = initial.div_ceil(2).max(1);
                let within = elapsed % initial.max(1) % half;
                (initial & !1).saturating_sub(2 * within)
            }
            _ => {
                // Wraps and goes on below zero.
                let modulus = if self.is_bcd() { 10_000 } else { 0x1_0000 };
                (initial + modulus - elapsed % modulus) % modulus
            }
        };
        self.encode(count)
    }

    fn encode(&self, count: u64) -> u16 {
        if !self.is_bcd() {
            return count as u16;
        }
        let digit = |scale: u64| (count / scale % 10) as u16;
        digit(1) | digit(10) << 4 | digit(100) << 8 | digit(1000) << 12
    }

    fn decode(&self, raw: u16) -> u32 {
        let count = if self.is_bcd() {
            let digit = |shift: u16| u32::from(raw >> shift & 0xf);
            digit(0) + digit(4) * 10 + digit(8) * 100 + digit(12) * 1000
        } else {
            u32::from(raw)
        };
        match (count, self.is_bcd()) {
            (0, false) => 0x1_0000,
            (0, true) => 10_000,
            (count, _) => count,
        }
    }

    pub(crate) fn latch_count(&mut self, clock: u64) {
        if self.latched.is_none() {
            self.latched = Some(self.count(clock));
            self.read_half = Half::Low;
        }
    }

    pub(crate) fn latch_status(&mut self, clock: u64) {
        if self.status.is_none() {
            let out = u8::from(self.output(clock)) << 7;
            let null = u8::from(self.is_null) << 6;
            self.status = Some(out | null | self.control & 0x3f);
        }
    }

    pub(crate) fn read(&mut self, clock: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let count = match self.latched {
            Some(count) => count,
            None => self.count(clock),
        };
        let (byte, is_last) = match (self.access(), self.read_half) {
            (1, _) => (count as u8, true),
            (2, _) => ((count >> 8) as u8, true),
            (_, Half::Low) => (count as u8, false),
            (_, Half::High) => ((count >> 8) as u8, true),
        };
        self.read_half = if is_last { Half::Low } else { Half::High };
        if is_last {
            self.latched = None;
        }
        byte
    }

    pub(crate) fn write(&mut self, clock: u64, value: u8) {
        let raw = match (self.access(), self.write_half) {
            (1, _) => u16::from(value),
            (2, _) => u16::from(value) << 8,
            (_, Half::Low) => {
                self.low = value;
                self.write_half = Half::High;
                if self.mode() == 0 {
                    // The first byte stops mode 0 until the second one comes.
                    self.progress = Progress::Idle;
                }
                return;
            }
            (_, Half::High) => {
                self.write_half = Half::Low;
                u16::from(self.low) | u16::from(value) << 8
            }
        };
        self.initial = self.decode(raw);
        self.is_null = false;
        self.progress = match (self.mode(), self.gate) {
            // These wait for a trigger; one that runs goes on.
            (1 | 5, _) => self.progress,
            (_, true) => Progress::Since(clock),
            (_, false) => Progress::Paused(0),
        };
    }

    pub(crate) fn set_gate(&mut self, clock: u64, gate: bool) {
        let is_rising = gate && !self.gate;
        let is_falling = !gate && self.gate;
        self.gate = gate;
        self.progress = match (self.mode(), self.progress) {
            (1 | 5, _) if is_rising && !self.is_null => Progress::Since(clock),
            (2 | 3, Progress::Paused(_)) if is_rising => Progress::Since(clock),
            (0 | 4, Progress::Paused(elapsed)) if is_rising => {
                Progress::Since(clock.saturating_sub(elapsed))
            }
            (0 | 2 | 3 | 4, Progress::Since(start)) if is_falling => {
                Progress::Paused(clock.saturating_sub(start))
            }
            (_, progress) => progress,
        };
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {} count {}", self.mode(), self.initial)?;
        match self.progress {
            Progress::Idle => f.write_str(" idle"),
            Progress::Since(_) => Ok(()),
            Progress::Paused(_) => f.write_str(" stopped by its gate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(mode: u8, count: u16, bcd: bool) -> Channel {
        let mut channel = Channel::new(true);
        channel.set_mode(0x30 | mode << 1 | u8::from(bcd));
        channel.write(100, count as u8);
        channel.write(100, (count >> 8) as u8);
        channel
    }

    fn latched(channel: &mut Channel, clock: u64) -> u16 {
        channel.latch_count(clock);
        u16::from(channel.read(clock)) | u16::from(channel.read(clock)) << 8
    }

    #[test]
    fn a_counter_from_nowhere_is_refused() {
        let counter = |change: fn(&mut Channel)| {
            let mut channel = Channel::new(true);
            change(&mut channel);
            channel.restored(100, true)
        };
        assert!(counter(|counter| counter.progress = Progress::Since(100)).is_ok());
        assert!(counter(|counter| counter.progress = Progress::Since(101)).is_err());
        assert!(counter(|counter| counter.progress = Progress::Paused(1)).is_err());
        assert!(counter(|counter| counter.initial = 0).is_err());
        assert!(counter(|counter| counter.initial = 0x1_0001).is_err());
        assert!(counter(|counter| counter.control = 0x4).is_err());
        assert!(counter(|counter| counter.control = 0x70).is_err());
    }

    #[test]
    fn counts_go_down_and_wrap() {
        let mut channel = loaded(0, 1000, false);
        assert_eq!(latched(&mut channel, 100), 1000);
        assert_eq!(latched(&mut channel, 1099), 1);
        assert_eq!(latched(&mut channel, 1101), 0xffff);
    }

    #[test]
    fn bcd_counts_in_decimal_digits() {
        let mut channel = loaded(2, 0x1000, true);
        assert_eq!(latched(&mut channel, 101), 0x0999);
    }

    #[test]
    fn a_square_wave_is_high_for_its_first_half() {
        let mut channel = loaded(3, 10, false);
        assert!(channel.output(104));
        assert!(!channel.output(105));
        assert!(channel.output(110));
        assert_eq!(latched(&mut channel, 106), 8);
        assert_eq!(channel.next_edge(100), Some(110));
    }

    #[test]
    fn the_gate_pauses_mode_0() {
        let mut channel = loaded(0, 10, false);
        channel.set_gate(105, false);
        assert!(!channel.output(500));
        channel.set_gate(500, true);
        assert!(!channel.output(504));
        assert!(channel.output(505));
    }

    #[test]
    fn read_back_gives_status_before_count() {
        let mut channel = loaded(2, 0x1234, false);
        channel.latch_status(100);
        channel.latch_count(100);
        assert_eq!(channel.read(100), 0x80 | 0x34);
        assert_eq!(channel.read(900), 0x34);
        assert_eq!(channel.read(900), 0x12);
    }
}
