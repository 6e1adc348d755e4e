//! Guest RAM for tests on a PC.

use crate::{GuestMemory, Unbacked};
use addr::Gpa;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

/// RAM from guest-physical address 0 up, one atomic byte each. Multi-byte operations are not atomic: one thread at a time.
pub struct TestRam {
    bytes: Vec<AtomicU8>,
}

impl TestRam {
    /// `len_bytes` zeroed bytes.
    #[must_use]
    pub fn new(len_bytes: usize) -> Self {
        Self {
            bytes: (0..len_bytes).map(|_| AtomicU8::new(0)).collect(),
        }
    }

    fn run(&self, at: Gpa, len: usize) -> Result<&[AtomicU8], Unbacked> {
        let start = usize::try_from(at.raw()).map_err(|_| Unbacked)?;
        let end = start.checked_add(len).ok_or(Unbacked)?;
        self.bytes.get(start..end).ok_or(Unbacked)
    }
}

impl GuestMemory for TestRam {
    fn read(&self, at: Gpa, into: &mut [u8]) -> Result<(), Unbacked> {
        let run = self.run(at, into.len())?;
        for (to, from) in into.iter_mut().zip(run) {
            *to = from.load(Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&self, at: Gpa, from: &[u8]) -> Result<(), Unbacked> {
        let run = self.run(at, from.len())?;
        for (to, from) in run.iter().zip(from) {
            to.store(*from, Ordering::Relaxed);
        }
        Ok(())
    }

    fn load_u16(&self, at: Gpa, _order: Ordering) -> Result<u16, Unbacked> {
        let mut bytes = [0; 2];
        if !at.is_aligned(2) {
            return Err(Unbacked);
        }
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_u16(&self, at: Gpa, value: u16, _order: Ordering) -> Result<(), Unbacked> {
        if !at.is_aligned(2) {
            return Err(Unbacked);
        }
        self.write(at, &value.to_le_bytes())
    }

    fn load_u64(&self, at: Gpa) -> Result<u64, Unbacked> {
        let mut bytes = [0; 8];
        if !at.is_aligned(8) {
            return Err(Unbacked);
        }
        self.read(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn compare_exchange_u64(&self, at: Gpa, current: u64, new: u64) -> Result<bool, Unbacked> {
        if self.load_u64(at)? != current {
            return Ok(false);
        }
        self.write(at, &new.to_le_bytes())?;
        Ok(true)
    }

    fn fill(&self, at: Gpa, len_bytes: u64, byte: u8) -> Result<(), Unbacked> {
        let len = usize::try_from(len_bytes).map_err(|_| Unbacked)?;
        for to in self.run(at, len)? {
            to.store(byte, Ordering::Relaxed);
        }
        Ok(())
    }
}
