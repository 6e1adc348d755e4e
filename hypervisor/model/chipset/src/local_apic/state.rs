//! Saved state of a local APIC.

use super::registers::{DFR_RESERVED, LVT_WRITABLE};
use super::timer::Timer;
use super::vector_set::VectorSet;
use super::{
    BASE_ADDRESS, BASE_BSP, BASE_ENABLED, BASE_X2APIC, ERROR_RECEIVE_VECTOR, ERROR_REGISTER,
    ERROR_SEND_VECTOR, LVT_COUNT, LVT_MASKED, LocalApic, SVR_ENABLED, SVR_WRITABLE,
};
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

const ERRORS: u32 = ERROR_SEND_VECTOR | ERROR_RECEIVE_VECTOR | ERROR_REGISTER;

/// Its registers. Id and role are wiring; messages on their way out are taken before a vCPU holds still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApicState {
    base: u64,
    tpr: u8,
    svr: u32,
    logical: u8,
    dfr: u32,
    esr: u32,
    errors: u32,
    icr: u64,
    lvt: [u32; LVT_COUNT],
    irr: [u64; 4],
    isr: [u64; 4],
    tmr: [u64; 4],
    timer: Timer,
}

impl State for LocalApicState {}

impl LocalApicState {
    fn check(&self) -> Result<(), BadState> {
        let known = BASE_ADDRESS | BASE_ENABLED | BASE_X2APIC | BASE_BSP;
        let is_mode = self.base & BASE_ENABLED != 0 || self.base & BASE_X2APIC == 0;
        BadState::unless(
            self.base & !known == 0 && is_mode,
            "IA32_APIC_BASE has a value that it cannot take",
        )?;
        BadState::unless(
            self.svr & !SVR_WRITABLE == 0
                && self.dfr & DFR_RESERVED == DFR_RESERVED
                && (self.esr | self.errors) & !ERRORS == 0,
            "a register of the local APIC has reserved bits",
        )?;
        let is_off = self.svr & SVR_ENABLED == 0;
        let mut entries = self.lvt.iter().zip(LVT_WRITABLE);
        BadState::unless(
            entries.all(|(entry, writable)| {
                entry & !writable == 0 && (!is_off || entry & LVT_MASKED != 0)
            }),
            "an entry of the local vector table has a value that it cannot take",
        )?;
        self.timer.check()
    }
}

impl Persist for LocalApic {
    type State = LocalApicState;

    fn state(&self) -> LocalApicState {
        let Self {
            id: _,
            is_bsp: _,
            now: _,
            base,
            tpr,
            svr,
            logical,
            dfr,
            esr,
            errors,
            icr,
            lvt,
            irr,
            isr,
            tmr,
            timer,
            ipi: _,
            eoi: _,
        } = self;
        LocalApicState {
            base: *base,
            tpr: *tpr,
            svr: *svr,
            logical: *logical,
            dfr: *dfr,
            esr: *esr,
            errors: *errors,
            icr: *icr,
            lvt: *lvt,
            irr: irr.words(),
            isr: isr.words(),
            tmr: tmr.words(),
            timer: timer.clone(),
        }
    }

    fn set_state(&mut self, state: LocalApicState) -> Result<(), BadState> {
        state.check()?;
        let LocalApicState {
            base,
            tpr,
            svr,
            logical,
            dfr,
            esr,
            errors,
            icr,
            lvt,
            irr,
            isr,
            tmr,
            timer,
        } = state;
        *self = Self {
            id: self.id,
            is_bsp: self.is_bsp,
            now: self.now,
            base,
            tpr,
            svr,
            logical,
            dfr,
            esr,
            errors,
            icr,
            lvt,
            irr: VectorSet::restored(irr)?,
            isr: VectorSet::restored(isr)?,
            tmr: VectorSet::restored(tmr)?,
            timer,
            ipi: None,
            eoi: None,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    #[test]
    fn what_no_local_apic_was_is_refused() {
        let apic = LocalApic::new(0, true);
        assert!(!refuses(&apic, |_| ()));
        assert!(refuses(&apic, |state| state.base |= 1));
        assert!(refuses(&apic, |state| state.base = BASE_X2APIC));
        assert!(refuses(&apic, |state| state.svr = 1 << 9));
        assert!(refuses(&apic, |state| state.dfr = 0));
        assert!(refuses(&apic, |state| state.esr = 1));
        // Open while the local APIC is off.
        assert!(refuses(&apic, |state| state.lvt = [0; LVT_COUNT]));
        assert!(refuses(&apic, |state| state.lvt = [LVT_MASKED | 1 << 20; LVT_COUNT]));
        assert!(refuses(&apic, |state| state.irr = [1 << 15, 0, 0, 0]));
        assert!(refuses(&apic, |state| state.isr = [1, 0, 0, 0]));
        assert!(refuses(&apic, |state| state.tmr = [2, 0, 0, 0]));
    }
}
