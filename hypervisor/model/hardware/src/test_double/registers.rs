//! Registers that a test fills, scripts and reads back.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::RefCell;
use x86::Width;

use crate::{BadAccess, Registers};

/// One access that reached the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `value` was read.
    Read {
        /// Offset.
        at: usize,
        /// Width.
        width: Width,
        /// Value the driver got.
        value: u64,
    },
    /// `value` was written.
    Write {
        /// Offset.
        at: usize,
        /// Width.
        width: Width,
        /// Value the driver wrote.
        value: u64,
    },
}

/// Registers that hold what was written last, unless a script says what is read.
#[derive(Debug, Default)]
pub struct TestRegisters {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Values to be read at an offset, before what the bytes hold.
    script: Vec<(usize, VecDeque<u64>)>,
    accesses: Vec<Access>,
}

impl TestRegisters {
    /// `len_bytes` of registers, all zero.
    #[must_use]
    pub fn new(len_bytes: usize) -> Self {
        let registers = Self::default();
        registers.state.borrow_mut().bytes.resize(len_bytes, 0);
        registers
    }

    /// Sets what a register holds, as the device would. Nothing is recorded.
    pub fn set(&self, at: usize, width: Width, value: u64) {
        self.state.borrow_mut().put(at, width, value);
    }

    /// The next reads at `at` return `values`, one each; later ones what the register holds.
    pub fn script(&self, at: usize, values: impl IntoIterator<Item = u64>) {
        let mut state = self.state.borrow_mut();
        match state.script.iter_mut().find(|(offset, _)| *offset == at) {
            Some((_, queue)) => queue.extend(values),
            None => state.script.push((at, values.into_iter().collect())),
        }
    }

    /// Takes the accesses so far, in order.
    pub fn take_accesses(&self) -> Vec<Access> {
        core::mem::take(&mut self.state.borrow_mut().accesses)
    }

    /// Takes the accesses so far and returns what was written at `at`, in order.
    pub fn take_writes(&self, at: usize) -> Vec<u64> {
        let written = |access| match access {
            Access::Write {
                at: offset, value, ..
            } if offset == at => Some(value),
            Access::Write { .. } | Access::Read { .. } => None,
        };
        self.take_accesses()
            .into_iter()
            .filter_map(written)
            .collect()
    }
}

impl State {
    fn get(&self, at: usize, width: Width) -> u64 {
        let mut bytes = [0; 8];
        let held = self.bytes.iter().skip(at).take(width.bytes().into());
        for (to, from) in bytes.iter_mut().zip(held) {
            *to = *from;
        }
        u64::from_le_bytes(bytes)
    }

    fn put(&mut self, at: usize, width: Width, value: u64) {
        let held = self.bytes.iter_mut().skip(at).take(width.bytes().into());
        for (to, from) in held.zip(value.to_le_bytes()) {
            *to = from;
        }
    }
}

impl Registers for TestRegisters {
    fn len_bytes(&self) -> usize {
        self.state.borrow().bytes.len()
    }

    fn read(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        BadAccess::check(at, width, self.len_bytes())?;
        let mut state = self.state.borrow_mut();
        let scripted = state
            .script
            .iter_mut()
            .find(|(offset, _)| *offset == at)
            .and_then(|(_, queue)| queue.pop_front());
        let value = width.truncate(scripted.unwrap_or_else(|| state.get(at, width)));
        state.accesses.push(Access::Read { at, width, value });
        Ok(value)
    }

    fn write(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        BadAccess::check(at, width, self.len_bytes())?;
        let value = width.truncate(value);
        let mut state = self.state.borrow_mut();
        state.put(at, width, value);
        state.accesses.push(Access::Write { at, width, value });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_before_what_the_register_holds() {
        let registers = TestRegisters::new(8);
        registers.script(4, [1, 2]);
        assert_eq!(registers.write_u32(4, 0x1_0003), Ok(()));
        assert_eq!(
            [(); 3].map(|()| registers.read_u16(4)),
            [Ok(1), Ok(2), Ok(3)]
        );
        assert_eq!(registers.read_u16(6), Ok(1));
        assert_eq!(registers.take_writes(4), [0x1_0003]);
    }

    #[test]
    fn a_bad_access_is_refused_and_not_recorded() {
        let registers = TestRegisters::new(6);
        assert_eq!(registers.read_u32(4), Err(BadAccess::OutOfRange));
        assert_eq!(registers.write_u16(1, 0), Err(BadAccess::Misaligned));
        assert_eq!(registers.take_accesses(), []);
    }
}
