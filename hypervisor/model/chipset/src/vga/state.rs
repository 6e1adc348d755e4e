//! Saved state of the adapter.

use super::Vga;
use super::dac::Dac;
use super::registers::IndexedState;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// Its registers. How many of them there are is wiring, and their memory is the VM's.
#[derive(Serialize, Deserialize)]
pub struct VgaState {
    misc_output: u8,
    feature_control: u8,
    sequencer: IndexedState,
    graphics: IndexedState,
    crtc: IndexedState,
    attribute: IndexedState,
    is_attribute_data: bool,
    dac: Dac,
}

impl State for VgaState {}

impl Persist for Vga {
    type State = VgaState;

    fn state(&self) -> VgaState {
        let Self {
            now: _,
            misc_output,
            feature_control,
            sequencer,
            graphics,
            crtc,
            attribute,
            is_attribute_data,
            dac,
        } = self;
        VgaState {
            misc_output: *misc_output,
            feature_control: *feature_control,
            sequencer: sequencer.state(),
            graphics: graphics.state(),
            crtc: crtc.state(),
            attribute: attribute.state(),
            is_attribute_data: *is_attribute_data,
            dac: dac.clone(),
        }
    }

    fn set_state(&mut self, state: VgaState) -> Result<(), BadState> {
        let VgaState {
            misc_output,
            feature_control,
            sequencer,
            graphics,
            crtc,
            attribute,
            is_attribute_data,
            dac,
        } = state;
        dac.check()?;
        *self = Self {
            now: self.now,
            misc_output,
            feature_control,
            sequencer: self.sequencer.restored(sequencer)?,
            graphics: self.graphics.restored(graphics)?,
            crtc: self.crtc.restored(crtc)?,
            attribute: self.attribute.restored(attribute)?,
            is_attribute_data,
            dac,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    #[test]
    fn what_no_adapter_was_is_refused() {
        let vga = Vga::new();
        assert!(!refuses(&vga, |state| state.misc_output = 0xff));
        // A sequencer has five registers, the CRTC has more.
        assert!(refuses(&vga, |state| {
            core::mem::swap(&mut state.sequencer, &mut state.crtc);
        }));
    }
}
