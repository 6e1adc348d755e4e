//! Saved state of the clock.

use super::{A_UIP, B_SET, CMOS_BYTES, Rtc, SOURCES};
use crate::calendar::{Calendar, MAX_SECONDS};
use alloc::vec::Vec;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// The guest's clock and its RAM.
///
/// A guest's clock goes on where it stopped, also on a host that was started at another time than the
/// one that saved it. So what it showed at time zero is part of the state; that of the board is not
/// replaced by it, and counts again from the next reset on.
#[derive(Serialize, Deserialize)]
pub struct RtcState {
    zero: i64,
    ahead: i64,
    held: Option<Calendar>,
    index: u8,
    a: u8,
    b: u8,
    flags: u8,
    cmos: Vec<u8>,
}

impl State for RtcState {}

impl Persist for Rtc {
    type State = RtcState;

    fn state(&self) -> RtcState {
        let zero = self.zero();
        let Self {
            epoch: _,
            memory: _,
            shift: _,
            now: _,
            ahead,
            held,
            index,
            a,
            b,
            flags,
            cmos,
            // Both follow from the time.
            seen: _,
            next_periodic: _,
        } = self.clone();
        RtcState {
            zero,
            ahead,
            held,
            index,
            a,
            b,
            flags,
            cmos,
        }
    }

    fn set_state(&mut self, state: RtcState) -> Result<(), BadState> {
        let RtcState {
            zero,
            ahead,
            held,
            index,
            a,
            b,
            flags,
            cmos,
        } = state;
        BadState::unless(
            matches!(zero, 0..=MAX_SECONDS) && ahead.unsigned_abs() <= MAX_SECONDS.unsigned_abs(),
            "the clock shows a time that it cannot show",
        )?;
        BadState::unless(
            held.is_some() == (b & B_SET != 0),
            "the clock does not run as register B says",
        )?;
        BadState::unless(
            index <= 0x7f && a & A_UIP == 0 && flags & !SOURCES == 0,
            "a register has reserved bits",
        )?;
        BadState::unless(cmos.len() == CMOS_BYTES, "the RAM has another size")?;
        *self = Self {
            epoch: self.epoch,
            memory: self.memory,
            shift: zero.saturating_sub(self.epoch),
            now: self.now,
            ahead,
            held,
            index,
            a,
            b,
            flags,
            cmos,
            seen: 0,
            next_periodic: 0,
        };
        self.follow_time();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    use crate::CmosMemory;

    #[test]
    fn what_no_clock_was_is_refused() {
        let memory = CmosMemory {
            below_4g_bytes: 2 << 20,
            above_4g_bytes: 0,
        };
        let rtc = Rtc::new(1_767_225_600, memory);
        assert!(!refuses(&rtc, |state| state.zero = 0));
        assert!(refuses(&rtc, |state| state.zero = -1));
        assert!(refuses(&rtc, |state| state.ahead = i64::MIN));
        assert!(refuses(&rtc, |state| state.b |= B_SET));
        assert!(refuses(&rtc, |state| state.held = Some(Calendar::from_seconds(0))));
        assert!(refuses(&rtc, |state| state.index = 0x80));
        assert!(refuses(&rtc, |state| state.a |= A_UIP));
        assert!(refuses(&rtc, |state| state.flags = 1));
        assert!(refuses(&rtc, |state| state.cmos.truncate(127)));
        assert!(refuses(&rtc, |state| state.cmos.push(0)));
    }
}
