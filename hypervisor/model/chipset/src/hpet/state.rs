//! Saved state of the HPET.

use super::{CONFIG_ENABLED, CONFIG_LEGACY, Hpet, TIMERS};
use crate::hpet_timer::HpetTimer;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// Its registers, and the ticks nobody has taken. Not what it was last reported to hold: that is what
/// its wires hold.
#[derive(Serialize, Deserialize)]
pub struct HpetState {
    config: u8,
    status: u8,
    pulses: u8,
    counter: u64,
    timers: [HpetTimer; TIMERS],
}

impl State for HpetState {}

impl Persist for Hpet {
    type State = HpetState;

    fn state(&self) -> HpetState {
        let counter = self.counter();
        let Self {
            now: _,
            config,
            status,
            pulses,
            // The counter and the time.
            base: _,
            seen: _,
            timers,
            driven: _,
        } = self.clone();
        HpetState {
            config,
            status,
            pulses,
            counter,
            timers,
        }
    }

    fn set_state(&mut self, state: HpetState) -> Result<(), BadState> {
        let HpetState {
            config,
            status,
            pulses,
            counter,
            timers,
        } = state;
        BadState::unless(
            config & !(CONFIG_ENABLED | CONFIG_LEGACY) == 0,
            "the configuration has reserved bits",
        )?;
        let mut levels = 0;
        for (index, timer) in timers.iter().enumerate() {
            timer.check()?;
            levels |= u8::from(timer.is_level()) << index;
        }
        BadState::unless(
            status & !levels == 0,
            "the interrupt of a timer stands that makes edges",
        )?;
        BadState::unless(
            pulses >> TIMERS == 0,
            "a timer has ticked that is not there",
        )?;
        *self = Self {
            now: self.now,
            config,
            status,
            pulses,
            base: 0,
            seen: 0,
            timers,
            driven: self.driven,
        };
        self.set_counter(counter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    #[test]
    fn what_no_hpet_was_is_refused() {
        let hpet = Hpet::new();
        assert!(!refuses(&hpet, |state| state.counter = u64::MAX));
        assert!(refuses(&hpet, |state| state.config = 4));
        assert!(refuses(&hpet, |state| state.status = 1));
        assert!(refuses(&hpet, |state| state.pulses = 8));
    }
}
