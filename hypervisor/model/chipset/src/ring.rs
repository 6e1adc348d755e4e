//! A small queue of bytes that lives inside a device.

use device::BadState;
use serde::{Deserialize, Serialize};

/// The longest ring: what serde derives for arrays.
const MAX: usize = 32;

/// Up to `N` bytes, at most 32, first in, first out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ring<const N: usize> {
    bytes: [u8; MAX],
    head: u8,
    len: u8,
}

impl<const N: usize> Ring<N> {
    pub(crate) const fn new() -> Self {
        const { assert!(N <= MAX) };
        Self {
            bytes: [0; MAX],
            head: 0,
            len: 0,
        }
    }

    /// Checks one that was saved.
    pub(crate) const fn check(&self) -> Result<(), BadState> {
        BadState::unless(
            (self.head as usize) < MAX && self.len as usize <= N,
            "a FIFO holds more than fits",
        )
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends; returns false when full.
    pub(crate) fn push(&mut self, byte: u8) -> bool {
        if self.len() >= N {
            return false;
        }
        let at = usize::from(self.head.wrapping_add(self.len)) % MAX;
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
        }
        self.len += 1;
        true
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = *self.bytes.get(usize::from(self.head) % MAX)?;
        self.head = self.head.wrapping_add(1) % MAX as u8;
        self.len -= 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fits_is_refused() {
        let ring = |head, len| Ring::<16> {
            bytes: [0; MAX],
            head,
            len,
        };
        assert!(ring(31, 16).check().is_ok());
        assert!(ring(32, 0).check().is_err());
        assert!(ring(0, 17).check().is_err());
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut ring = Ring::<3>::new();
        for round in 0..100u8 {
            assert!(ring.push(round) && ring.push(round + 1) && ring.push(round + 2));
            assert!(!ring.push(9));
            assert_eq!((ring.pop(), ring.pop()), (Some(round), Some(round + 1)));
            assert_eq!((ring.pop(), ring.pop()), (Some(round + 2), None));
        }
    }
}
