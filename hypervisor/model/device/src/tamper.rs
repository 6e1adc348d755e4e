//! States that somebody has tampered with, for the tests of device models.

use crate::state::{self, Persist, State};
use alloc::vec::Vec;

/// Number of states tried that differ in two bytes.
const PAIRS: u32 = 100_000;
/// Each so many accepted states the device is used at length.
const LONG_EVERY: u32 = 1_000;
/// Number of times a device is used: at length, after one changed byte, after two.
const LONG: usize = 3_000;
const SHORT: usize = 100;
const SHORTEST: usize = 3;

/// Numbers that look random.
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for one `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `below`, which is not zero.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below.max(1)
    }

    /// Changes a byte as damage and malice do.
    pub fn change(&mut self, byte: u8) -> u8 {
        match self.roll(11) {
            bit @ 0..=7 => byte ^ 1 << bit,
            8 => 0,
            9 => u8::MAX,
            _ => self.roll(256) as u8,
        }
    }
}

/// The bytes a byte is replaced by: each bit flipped, nothing, everything.
#[must_use]
pub fn variants(byte: u8) -> [u8; 10] {
    core::array::from_fn(|index| match index {
        0..=7 => byte ^ 1 << index,
        8 => 0,
        _ => u8::MAX,
    })
}

/// Returns whether a device refuses its own state after a change.
pub fn refuses<D: Persist + Clone>(device: &D, change: impl FnOnce(&mut D::State)) -> bool {
    let mut state = device.state();
    change(&mut state);
    device.clone().set_state(state).is_err()
}

/// Number of states that were taken and of those that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Taken.
    pub taken: u32,
    /// Refused, by their form or by the device.
    pub refused: u32,
}

/// Puts variants of the state of `used` into copies of `fresh`: each byte changed in ten ways, and
/// 100,000 pairs of bytes. Devices that take theirs go to `live` with a number of accesses to make;
/// it panics if the device is not whole.
///
/// # Panics
/// When a device has changed although it refused its state, or does not take its own.
pub fn tamper<D: Persist + Clone>(
    used: &D,
    fresh: &D,
    mut live: impl FnMut(D, usize, &mut Dice),
) -> Tally {
    let bytes = state::encode(&used.state());
    let before = state::encode(&fresh.state());
    let mut dice = Dice::new(bytes.len() as u64);
    let mut tally = Tally::default();
    let mut attempt = |bad: &[u8], accesses: usize, dice: &mut Dice| {
        let mut device = fresh.clone();
        let read = state::decode::<D::State>(D::State::VERSION, bad);
        let is_read = read.is_ok();
        if read.is_ok_and(|state| device.set_state(state).is_ok()) {
            tally.taken += 1;
            let is_long = tally.taken % LONG_EVERY == 1;
            live(device, if is_long { LONG } else { accesses }, dice);
        } else {
            tally.refused += 1;
            if is_read {
                assert_eq!(state::encode(&device.state()), before, "it has changed");
            }
        }
        tally
    };

    let own = attempt(&bytes, LONG, &mut dice);
    assert_eq!(own.taken, 1, "it does not take its own state");
    let mut bad: Vec<u8> = bytes.clone();
    for (at, good) in bytes.iter().enumerate() {
        for value in variants(*good) {
            bad[at] = value;
            attempt(&bad, SHORT, &mut dice);
        }
        bad[at] = *good;
    }
    for _ in 0..PAIRS {
        let places = [0, 1].map(|_| dice.roll(bytes.len() as u64) as usize);
        for at in places {
            bad[at] = dice.change(bad[at]);
        }
        attempt(&bad, SHORTEST, &mut dice);
        for at in places {
            bad[at] = bytes[at];
        }
    }
    tally
}
