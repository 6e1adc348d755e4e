//! Saved state of a function: what guests have written to it.

use super::Function;
use alloc::vec::Vec;
use device::BadState;

impl Function {
    /// Returns its state: the space, of which only those bits count that a guest can write.
    pub(crate) fn state(&self) -> Vec<u8> {
        let bytes = self.bytes.iter().zip(&self.writable);
        bytes.map(|(byte, writable)| byte & writable).collect()
    }

    /// Returns the space in a state that [`Function::state`] gave.
    pub(crate) fn restored(&self, state: &[u8]) -> Result<Vec<u8>, BadState> {
        BadState::unless(
            state.len() == self.bytes.len(),
            "a configuration space has another size",
        )?;
        let masks = self.writable.iter().zip(&self.initial);
        let bytes = state.iter().zip(masks);
        bytes
            .map(|(byte, (writable, initial))| {
                BadState::unless(
                    byte & !writable == 0,
                    "a register is changed that no guest can write",
                )?;
                Ok(byte | initial & !writable)
            })
            .collect()
    }

    /// Replaces the space by what [`Function::restored`] gave.
    pub(crate) fn set_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }
}
