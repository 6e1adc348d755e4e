//! Saved state of the keyboard controller and its devices.

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

#[cfg(test)]
mod tests {
    use super::*;
    use device::tamper::refuses;

    use super::super::I8042_COMMAND_PORT;
    use device::{Device, PioDevice, Width};
    use time::Instant;

    #[test]
    fn what_no_controller_was_is_refused() {
        let mut controller = I8042::new();
        controller.advance(Instant::from_ns(1_000_000));
        for _ in 0..2 {
            let asked = controller.write(I8042_COMMAND_PORT, Width::Byte, 0x20);
            asked.expect("the command port");
        }
        assert!(!refuses(&controller, |_| ()));
        assert!(refuses(&controller, |state| state.awaiting = Some(0xd0)));
        assert!(refuses(&controller, |state| {
            // Its first answer is read, and the second one waits on.
            state.output = state.output.clone().without_held();
        }));
        let _ = controller.read(0x60, Width::Byte);
        // Of later.
        assert!(I8042::new().set_state(controller.state()).is_err());
    }
}
