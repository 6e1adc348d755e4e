//! DMA memory with made-up addresses; the test plays the device.

use addr::Hpa;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use x86::Width;

use crate::{BadAccess, DmaBuffer, DmaError, DmaLimits, DmaMemory, DmaPiece};

/// The device touched memory that no buffer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrayDma(pub Hpa);

/// Memory whose buffers lie as inconveniently as their limits permit: far apart, aligned no better
/// than asked for, cut at every boundary.
#[derive(Debug, Default)]
pub struct TestDmaMemory {
    blocks: Rc<RefCell<Blocks>>,
}

#[derive(Debug, Default)]
struct Blocks {
    list: Vec<Block>,
    next: u64,
}

#[derive(Debug)]
struct Block {
    at: u64,
    bytes: Vec<u8>,
    is_dropped: bool,
}

/// The first address that is given.
const BASE: u64 = 0x10_0000;

impl TestDmaMemory {
    /// Memory without a buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads as the device does.
    ///
    /// # Errors
    /// [`StrayDma`] for a byte in no buffer.
    pub fn device_read(&self, at: Hpa, into: &mut [u8]) -> Result<(), StrayDma> {
        let mut blocks = self.blocks.borrow_mut();
        for (address, to) in (at.raw()..).zip(into) {
            *to = *blocks.byte(address)?;
        }
        Ok(())
    }

    /// Writes as the device does.
    ///
    /// # Errors
    /// [`StrayDma`] for a byte in no buffer.
    pub fn device_write(&self, at: Hpa, from: &[u8]) -> Result<(), StrayDma> {
        let mut blocks = self.blocks.borrow_mut();
        for (address, byte) in (at.raw()..).zip(from) {
            *blocks.byte(address)? = *byte;
        }
        Ok(())
    }

    /// Returns how many buffers were not released, and how many of them were dropped.
    pub fn in_use(&self) -> (usize, usize) {
        let blocks = self.blocks.borrow();
        let dropped = blocks.list.iter().filter(|block| block.is_dropped).count();
        (blocks.list.len(), dropped)
    }
}

impl Blocks {
    fn byte(&mut self, address: u64) -> Result<&mut u8, StrayDma> {
        self.list
            .iter_mut()
            .find_map(|block| {
                let offset = address.checked_sub(block.at)?;
                block.bytes.get_mut(usize::try_from(offset).ok()?)
            })
            .ok_or(StrayDma(Hpa::new(address)))
    }
}

impl DmaMemory for TestDmaMemory {
    type Buffer = TestDmaBuffer;

    fn allocate(&self, len_bytes: usize, limits: DmaLimits) -> Result<TestDmaBuffer, DmaError> {
        if !limits.are_sound() || len_bytes == 0 {
            return Err(DmaError::BadRequest);
        }
        let len = len_bytes as u64;
        let mut blocks = self.blocks.borrow_mut();
        // An odd multiple of the alignment; but a buffer that fits between two boundaries does not
        // have to be cut.
        let mut at = blocks
            .next
            .max(BASE)
            .next_multiple_of(limits.align_bytes * 2);
        at += limits.align_bytes;
        if let Some(boundary) = limits.boundary_bytes
            && at % boundary + len > boundary
        {
            at = at.next_multiple_of(boundary.max(limits.align_bytes));
        }
        let end = at.checked_add(len).ok_or(DmaError::NoMemory)?;
        if end > limits.end() {
            return Err(DmaError::NoMemory);
        }
        blocks.next = end + 1;
        blocks.list.push(Block {
            at,
            bytes: vec![0; len_bytes],
            is_dropped: false,
        });
        let mut pieces = Vec::new();
        let mut start = at;
        while start < end {
            let cut = limits.boundary_bytes.map_or(end, |boundary| {
                (start + 1).next_multiple_of(boundary).min(end)
            });
            pieces.push(DmaPiece {
                at: Hpa::new(start),
                len_bytes: cut - start,
            });
            start = cut;
        }
        Ok(TestDmaBuffer {
            blocks: self.blocks.clone(),
            at,
            len_bytes,
            pieces,
        })
    }
}

/// A buffer of [`TestDmaMemory`].
#[derive(Debug)]
pub struct TestDmaBuffer {
    blocks: Rc<RefCell<Blocks>>,
    at: u64,
    len_bytes: usize,
    pieces: Vec<DmaPiece>,
}

impl TestDmaBuffer {
    /// Calls `each` with the bytes of the buffer from `at` on.
    fn with(&self, at: usize, len: usize, each: impl FnOnce(&mut [u8])) -> Result<(), BadAccess> {
        let end = at.checked_add(len).ok_or(BadAccess::OutOfRange)?;
        let mut blocks = self.blocks.borrow_mut();
        let block = blocks.list.iter_mut().find(|block| block.at == self.at);
        let bytes = block.and_then(|block| block.bytes.get_mut(at..end));
        each(bytes.ok_or(BadAccess::OutOfRange)?);
        Ok(())
    }
}

impl DmaBuffer for TestDmaBuffer {
    fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    fn pieces(&self) -> &[DmaPiece] {
        &self.pieces
    }

    fn read(&self, at: usize, into: &mut [u8]) -> Result<(), BadAccess> {
        self.with(at, into.len(), |bytes| into.copy_from_slice(bytes))
    }

    fn write(&self, at: usize, from: &[u8]) -> Result<(), BadAccess> {
        self.with(at, from.len(), |bytes| bytes.copy_from_slice(from))
    }

    fn load(&self, at: usize, width: Width) -> Result<u64, BadAccess> {
        BadAccess::check(at, width, self.len_bytes)?;
        let mut value = [0; 8];
        self.with(at, width.bytes().into(), |bytes| {
            for (to, from) in value.iter_mut().zip(bytes) {
                *to = *from;
            }
        })?;
        Ok(u64::from_le_bytes(value))
    }

    fn store(&self, at: usize, width: Width, value: u64) -> Result<(), BadAccess> {
        BadAccess::check(at, width, self.len_bytes)?;
        self.with(at, width.bytes().into(), |bytes| {
            for (to, from) in bytes.iter_mut().zip(value.to_le_bytes()) {
                *to = from;
            }
        })
    }

    fn release(self) {
        let at = self.at;
        self.blocks.borrow_mut().list.retain(|block| block.at != at);
    }
}

impl Drop for TestDmaBuffer {
    fn drop(&mut self) {
        let mut blocks = self.blocks.borrow_mut();
        if let Some(block) = blocks.list.iter_mut().find(|block| block.at == self.at) {
            block.is_dropped = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_and_the_driver_see_the_same_bytes() {
        let memory = TestDmaMemory::new();
        let buffer = memory.allocate(64, DmaLimits::NONE).expect("there is room");
        let at = buffer.address(8).expect("within the buffer");
        assert_eq!(buffer.store(8, Width::Dword, 0x0403_0201), Ok(()));
        let mut seen = [0; 4];
        assert_eq!(memory.device_read(at, &mut seen), Ok(()));
        assert_eq!(seen, [1, 2, 3, 4]);
        assert_eq!(memory.device_write(at, &[9]), Ok(()));
        assert_eq!(buffer.load(8, Width::Word), Ok(0x0209));
        assert_eq!(buffer.load(62, Width::Dword), Err(BadAccess::OutOfRange));
        assert_eq!(buffer.address(64), None);
    }

    #[test]
    fn buffers_keep_to_their_limits_and_no_more() {
        let memory = TestDmaMemory::new();
        let limits = DmaLimits {
            align_bytes: 64,
            address_bits: 24,
            boundary_bytes: Some(0x1000),
        };
        let cut = memory.allocate(0x1800, limits).expect("there is room");
        let whole = memory.allocate(0x1000, limits).expect("there is room");
        for buffer in [&cut, &whole] {
            assert!(buffer.pieces().iter().all(|&piece| limits.admit(piece)));
            let sum: u64 = buffer.pieces().iter().map(|piece| piece.len_bytes).sum();
            assert_eq!(sum, buffer.len_bytes() as u64);
        }
        assert!(cut.pieces().len() > 1 && whole.pieces().len() == 1);
        let small = memory.allocate(1, limits).expect("there is room");
        let at = small.address(0).expect("it has a byte");
        assert!(at.is_aligned(64) && !at.is_aligned(128));
        let far = memory.allocate(16 << 20, limits);
        assert_eq!(far.err(), Some(DmaError::NoMemory));
    }

    #[test]
    fn a_device_that_writes_to_a_released_buffer_is_caught() {
        let memory = TestDmaMemory::new();
        let buffer = memory.allocate(8, DmaLimits::NONE).expect("there is room");
        let at = buffer.address(0).expect("it has a byte");
        buffer.release();
        assert_eq!(memory.device_write(at, &[1]), Err(StrayDma(at)));
        assert_eq!(memory.in_use(), (0, 0));
        drop(memory.allocate(8, DmaLimits::NONE));
        assert_eq!(memory.in_use(), (1, 1), "dropped without a word: kept");
    }
}
