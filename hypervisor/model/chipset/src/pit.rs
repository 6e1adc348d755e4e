//! 8254 programmable interval timer with three channels, and port 0x61 that drives and shows the third.
//!
//! Follows the 82C54 datasheet (Intel order 231244), and the ICH datasheets for port 0x61 (NMI_SC). Ports are absolute: 0x40 to
//! 0x43 and 0x61. The input clock runs at 1,193,182 Hz. A count written to a running channel takes effect at once, not at the
//! end of the period.

mod state;

use crate::frequency::Hertz;
use crate::pit_channel::Channel;
use device::{Device, Level, Page, PioDevice, Refused, Width};
use time::Instant;

/// The input clock.
pub const PIT_HZ: u64 = 1_193_182;

const CLOCK: Hertz = Hertz(PIT_HZ);

/// Ticks of channel 0 that are owed at most, when time ran on while nobody could take them.
const MAX_OWED: u8 = 32;

/// Ticks of the input clock between two interrupts, at least: about 20 µs.
const MIN_SPACING: u64 = 24;

/// Time for which the refresh bit of port 0x61 keeps its value.
const REFRESH_NS: u64 = 15_085;

/// The timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pit {
    now: Instant,
    channels: [Channel; 3],
    /// Bits 0 to 3 of port 0x61: gate of channel 2, speaker, and two parity enables.
    control: u8,
    /// Channel 0's next rising edge, in input clocks.
    next_edge: Option<u64>,
    /// Edges that passed unseen; they follow at double speed.
    owed: u8,
    last_pulse: u64,
    has_pulse: bool,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// A timer as after power-on: nothing counts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            now: Instant::from_ns(0),
            channels: [Channel::new(true), Channel::new(true), Channel::new(false)],
            control: 0,
            next_edge: None,
            owed: 0,
            last_pulse: 0,
            has_pulse: false,
        }
    }

    /// OUT of channel 0 right now.
    #[must_use]
    pub fn output(&self) -> Level {
        Level::when(self.channels[0].output(self.clock()))
    }

    fn clock(&self) -> u64 {
        CLOCK.ticks_at(self.now)
    }

    /// When the next pulse may come: the next edge, or half a period after the last one while some are owed.
    fn next_pulse(&self) -> Option<u64> {
        let soonest = self.last_pulse.saturating_add(MIN_SPACING);
        if self.owed > 0 {
            let half = self.channels[0].period().unwrap_or(0) / 2;
            return Some(soonest.max(self.last_pulse.saturating_add(half)));
        }
        self.next_edge.map(|edge| edge.max(soonest))
    }

    /// Forgets what channel 0 owed and finds its next edge.
    fn restart(&mut self) {
        self.owed = 0;
        self.next_edge = self.channels[0].next_edge(self.clock());
    }

    fn read_port61(&self) -> u8 {
        let refresh = (self.now.as_ns() / REFRESH_NS) as u8 & 1;
        let out = u8::from(self.channels[2].output(self.clock()));
        self.control | refresh << 4 | out << 5
    }

    /// Control word or read-back command. (82C54, "Write Operations", "Read-Back Command")
    fn write_control(&mut self, value: u8) {
        let clock = self.clock();
        let selected = usize::from(value >> 6);
        if let Some(channel) = self.channels.get_mut(selected) {
            if value >> 4 & 3 == 0 {
                channel.latch_count(clock);
            } else {
                channel.set_mode(value & 0x3f);
                if selected == 0 {
                    self.restart();
                }
            }
            return;
        }
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if value >> (index + 1) & 1 != 0 {
                if value & 0x10 == 0 {
                    channel.latch_status(clock);
                }
                if value & 0x20 == 0 {
                    channel.latch_count(clock);
                }
            }
        }
    }
}

impl Device for Pit {
    fn reset(&mut self) {
        let Self {
            now,
            channels,
            control,
            next_edge,
            owed,
            last_pulse,
            has_pulse,
        } = self;
        let _ = now; // Time goes on.
        *channels = [Channel::new(true), Channel::new(true), Channel::new(false)];
        (*control, *next_edge, *owed, *last_pulse, *has_pulse) = (0, None, 0, 0, false);
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        if self.next_edge.is_none() && self.owed == 0 {
            return;
        }
        let clock = self.clock();
        if let Some(edge) = self.next_edge.filter(|edge| *edge <= clock) {
            let missed = match self.channels[0].period() {
                Some(period) => {
                    let passed = (clock - edge) / period.max(1);
                    self.next_edge = Some(edge + (passed + 1) * period.max(1));
                    passed
                }
                None => {
                    self.next_edge = None;
                    0
                }
            };
            let edges = u8::try_from(missed.saturating_add(1)).unwrap_or(MAX_OWED);
            self.owed = self.owed.saturating_add(edges).min(MAX_OWED);
        }
        if self.owed > 0 && self.next_pulse().is_some_and(|at| at <= clock) {
            self.owed -= 1;
            self.last_pulse = clock;
            self.has_pulse = true;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_pulse().map(|clock| CLOCK.instant_of(clock))
    }

    fn line(&self) -> Level {
        self.output()
    }

    fn take_pulse(&mut self) -> bool {
        core::mem::take(&mut self.has_pulse)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        for (index, channel) in self.channels.iter().enumerate() {
            page.line("channel", format_args!("{index} {channel}"));
        }
        page.line("port 0x61", format_args!("{:#04x}", self.read_port61()));
        page.line("owed ticks", self.owed);
    }
}

impl PioDevice for Pit {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let clock = self.clock();
        Ok(u32::from(match at {
            0x40 => self.channels[0].read(clock),
            0x41 => self.channels[1].read(clock),
            0x42 => self.channels[2].read(clock),
            // The control word cannot be read back here.
            0x43 => 0xff,
            0x61 => self.read_port61(),
            _ => return Err(Refused::NoRegister),
        }))
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        if width != Width::Byte {
            return Err(Refused::WrongWidth);
        }
        let (clock, value) = (self.clock(), value as u8);
        match at {
            0x40 => {
                self.channels[0].write(clock, value);
                self.restart();
            }
            0x41 => self.channels[1].write(clock, value),
            0x42 => self.channels[2].write(clock, value),
            0x43 => self.write_control(value),
            0x61 => {
                self.control = value & 0x0f;
                self.channels[2].set_gate(clock, value & 1 != 0);
            }
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(pit: &mut Pit, port: u16, value: u8) {
        pit.write(port, Width::Byte, u32::from(value))
            .expect("a port");
    }

    fn read(pit: &mut Pit, port: u16) -> u32 {
        pit.read(port, Width::Byte).expect("a port")
    }

    fn periodic(count: u16) -> Pit {
        let mut pit = Pit::new();
        pit.advance(Instant::from_ns(1_000_000));
        write(&mut pit, 0x43, 0x34);
        write(&mut pit, 0x40, count as u8);
        write(&mut pit, 0x40, (count >> 8) as u8);
        pit
    }

    #[test]
    fn a_rate_generator_ticks_without_drift() {
        let mut pit = periodic(11932);
        let mut ticks = 0;
        while let Some(at) = pit.deadline().filter(|at| at.as_ns() < 10_001_000_000) {
            pit.advance(at);
            while pit.take_pulse() {
                ticks += 1;
            }
        }
        assert_eq!(ticks, 10 * PIT_HZ / 11932);
    }

    #[test]
    fn a_long_sleep_owes_a_bounded_number_of_ticks_that_follow_faster() {
        let mut pit = periodic(11932);
        pit.advance(Instant::from_ns(3_600_000_000_000));
        assert!(pit.take_pulse());
        assert!(!pit.take_pulse());
        let mut ticks = 0;
        while let Some(at) = pit.deadline().filter(|at| at.as_ns() < 3_601_000_000_000) {
            pit.advance(at);
            ticks += u32::from(pit.take_pulse());
        }
        assert!((125..135).contains(&ticks), "{ticks}");
    }

    #[test]
    fn one_shot_pulses_once() {
        let mut pit = Pit::new();
        write(&mut pit, 0x43, 0x30);
        write(&mut pit, 0x40, 0x00);
        write(&mut pit, 0x40, 0x10);
        assert_eq!(pit.output(), Level::Low);
        let at = pit.deadline().expect("a deadline");
        pit.advance(at);
        assert!(pit.take_pulse());
        assert_eq!(pit.output(), Level::High);
        assert_eq!(pit.deadline(), None);
    }

    #[test]
    fn channel_two_shows_its_output_in_port_61() {
        let mut pit = Pit::new();
        write(&mut pit, 0x61, 0x01);
        write(&mut pit, 0x43, 0xb0);
        write(&mut pit, 0x42, 0xff);
        write(&mut pit, 0x42, 0x00);
        assert_eq!(read(&mut pit, 0x61) & 0x20, 0);
        pit.advance(Instant::from_ns(300_000));
        assert_eq!(read(&mut pit, 0x61) & 0x20, 0x20);
    }

    #[test]
    fn the_fastest_rate_does_not_storm() {
        let mut pit = periodic(1);
        let mut count = 0;
        while let Some(at) = pit.deadline().filter(|at| at.as_ns() < 2_000_000) {
            pit.advance(at);
            count += 1;
        }
        assert!(count <= 60, "{count}");
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut pit = Pit::new();
        let mut seed = 1u32;
        for step in 0..20_000u64 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let port = [0x40, 0x41, 0x42, 0x43, 0x61][(seed >> 8) as usize % 5];
            pit.advance(Instant::from_ns(step * u64::from(seed >> 12)));
            write(&mut pit, port, (seed >> 24) as u8);
            read(&mut pit, port);
            let _ = pit.deadline();
        }
        pit.advance(Instant::from_ns(u64::MAX));
        let _ = (pit.deadline(), read(&mut pit, 0x40));
    }
}
