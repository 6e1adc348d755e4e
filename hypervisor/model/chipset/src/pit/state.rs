//! Saved state of the PIT.

use super::{MAX_OWED, Pit};
use crate::pit_channel::Channel;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// Counters, port 0x61, and the ticks that are owed. Channel 0's next edge follows from its counter.
#[derive(Serialize, Deserialize)]
pub struct PitState {
    channels: [Channel; 3],
    control: u8,
    owed: u8,
    last_pulse: u64,
    has_pulse: bool,
}

impl State for PitState {}

impl Persist for Pit {
    type State = PitState;

    fn state(&self) -> PitState {
        let Self {
            now: _,
            channels,
            control,
            next_edge: _,
            owed,
            last_pulse,
            has_pulse,
        } = self.clone();
        PitState {
            channels,
            control,
            owed,
            last_pulse,
            has_pulse,
        }
    }

    fn set_state(&mut self, state: PitState) -> Result<(), BadState> {
        let PitState {
            channels,
            control,
            owed,
            last_pulse,
            has_pulse,
        } = state;
        let clock = self.clock();
        BadState::unless(control & !0xf == 0, "port 0x61 has reserved bits")?;
        BadState::unless(owed <= MAX_OWED, "too many ticks are owed")?;
        BadState::unless(last_pulse <= clock, "a tick is still to come")?;
        // The first two gates are soldered open.
        let [first, second, third] = channels;
        let channels = [
            first.restored(clock, true)?,
            second.restored(clock, true)?,
            third.restored(clock, control & 1 != 0)?,
        ];
        *self = Self {
            now: self.now,
            next_edge: channels[0].next_edge(clock),
            channels,
            control,
            owed,
            last_pulse,
            has_pulse,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;
    use device::{Device, PioDevice, Width};
    use time::Instant;

    #[test]
    fn what_no_pit_was_is_refused() {
        let mut pit = Pit::new();
        pit.advance(Instant::from_ns(5_000_000));
        for (port, value) in [(0x43, 0x34), (0x40, 0xff), (0x40, 4), (0x61, 1)] {
            pit.write(port, Width::Byte, value).expect("a register");
        }
        assert!(!refuses(&pit, |_| ()));
        assert!(refuses(&pit, |state| state.control = 0x10));
        assert!(refuses(&pit, |state| state.owed = MAX_OWED + 1));
        assert!(refuses(&pit, |state| state.last_pulse = 1 << 40));
        // The first counter counts, which it would not with the third one's gate.
        assert!(refuses(&pit, |state| {
            state.channels.swap(0, 2);
            state.control = 0;
        }));
        // Of later.
        let mut earlier = Pit::new();
        assert!(earlier.set_state(pit.state()).is_err());
    }
}
