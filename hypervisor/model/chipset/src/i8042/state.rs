//! What is saved of the keyboard controller and its devices.

use super::I8042;
use super::output::OutputBuffer;
use crate::keyboard::Keyboard;
use crate::ps2_mouse::Mouse;
use device::{BadState, Persist, State};
use serde::{Deserialize, Serialize};

/// The controller, the keyboard and the mouse.
#[derive(Serialize, Deserialize)]
pub struct I8042State {
    mode: u8,
    output_port: u8,
    output: OutputBuffer,
    awaiting: Option<u8>,
    was_command: bool,
    keyboard: Keyboard,
    mouse: Mouse,
    is_release: bool,
    is_reset_requested: bool,
}

impl State for I8042State {}

impl Persist for I8042 {
    type State = I8042State;

    fn state(&self) -> I8042State {
        let Self {
            now: _,
            mode,
            output_port,
            output,
            awaiting,
            was_command,
            keyboard,
            mouse,
            is_release,
            is_reset_requested,
        } = self.clone();
        I8042State {
            mode,
            output_port,
            output,
            awaiting,
            was_command,
            keyboard,
            mouse,
            is_release,
            is_reset_requested,
        }
    }

    fn set_state(&mut self, state: I8042State) -> Result<(), BadState> {
        let I8042State {
            mode,
            output_port,
            output,
            awaiting,
            was_command,
            keyboard,
            mouse,
            is_release,
            is_reset_requested,
        } = state;
        output.check(self.now)?;
        keyboard.check()?;
        mouse.check(self.now)?;
        BadState::unless(
            matches!(awaiting, None | Some(0x60 | 0xd1..=0xd4)),
            "the controller awaits what no command has",
        )?;
        *self = Self {
            now: self.now,
            mode,
            output_port,
            output,
            awaiting,
            was_command,
            keyboard,
            mouse,
            is_release,
            is_reset_requested,
        };
        Ok(())
    }
}
