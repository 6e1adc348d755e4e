//! Bus tables: which device answers where, as of one moment.

use super::{MANY_ELEMENTS, MmioTarget, PioTarget};
use addr::{Gpa, GpaRange};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use device::{Refused, Width};

/// Two devices claim the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The one that was there.
    pub first: &'static str,
    /// The one that came.
    pub second: &'static str,
    /// Where both want to be: a port or a guest-physical address.
    pub at: u64,
}

/// A range that a target answers for.
struct Place<T: ?Sized> {
    first: u64,
    last: u64,
    /// Where the offsets that the target sees count from.
    base: u64,
    target: Arc<T>,
}

impl<T: ?Sized> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self {
            first: self.first,
            last: self.last,
            base: self.base,
            target: self.target.clone(),
        }
    }
}

/// Ranges that do not overlap, sorted.
struct Ranges<T: ?Sized>(Vec<Place<T>>);

impl<T: ?Sized> Default for Ranges<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: ?Sized> Clone for Ranges<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, other: &Self) {
        // Keeps its allocation.
        self.0.clone_from(&other.0);
    }
}

impl<T: ?Sized> Ranges<T> {
    /// Returns the index of the first range that ends at `at` or behind it.
    #[inline]
    fn index(&self, at: u64) -> usize {
        self.0.partition_point(|place| place.last < at)
    }

    #[inline]
    fn find(&self, at: u64) -> Option<&Place<T>> {
        self.0.get(self.index(at)).filter(|place| place.first <= at)
    }

    /// Adds a range.
    ///
    /// # Errors
    /// The target that is there already, and the first place that both want.
    fn claim(&mut self, place: Place<T>) -> Result<(), (Arc<T>, u64)> {
        let at = self.index(place.first);
        if let Some(other) = self.0.get(at).filter(|other| other.first <= place.last) {
            return Err((other.target.clone(), place.first.max(other.first)));
        }
        self.0.insert(at, place);
        Ok(())
    }

    /// Adds what of a range is free: what was there first stays. Of a range that is cut into more
    /// than [`MAX_PIECES`], the first ones count.
    fn fill(&mut self, place: &Place<T>) {
        let mut first = place.first;
        for _ in 0..MAX_PIECES {
            let at = self.index(first);
            let other = self.0.get(at).map(|other| (other.first, other.last));
            let other = other.filter(|(other, _)| *other <= place.last);
            let last = match other {
                Some((other, _)) if other <= first => None,
                Some((other, _)) => Some(other - 1),
                None => Some(place.last),
            };
            if let Some(last) = last {
                let piece = Place {
                    first,
                    last,
                    ..place.clone()
                };
                self.0.insert(at, piece);
            }
            match other.and_then(|(_, last)| last.checked_add(1)) {
                Some(next) if next <= place.last => first = next,
                Some(_) | None => return,
            }
        }
    }

    /// An empty one with room for `others` and so many regions besides.
    fn with_room(others: &Self, regions: usize) -> Self {
        Self(Vec::with_capacity(others.0.len() + regions * MAX_PIECES))
    }
}

/// Pieces of one region that answer, where others lie in the middle of it.
const MAX_PIECES: usize = 4;

/// The port bus. An access belongs to the device at its first port; a read that no device answers
/// floats high.
#[derive(Default)]
pub struct PioBus {
    ranges: Ranges<dyn PioTarget>,
}

impl PioBus {
    /// Puts `target` at `ports`; it sees offsets from `base`.
    ///
    /// # Errors
    /// [`Overlap`] when a port is taken.
    pub fn claim(
        &mut self,
        ports: RangeInclusive<u16>,
        base: u16,
        target: Arc<dyn PioTarget>,
    ) -> Result<(), Overlap> {
        let second = target.name();
        let (first, last) = ports.into_inner();
        let place = Place {
            first: first.into(),
            last: last.into(),
            base: base.into(),
            target,
        };
        self.ranges.claim(place).map_err(|(other, at)| Overlap {
            first: other.name(),
            second,
            at,
        })
    }

    /// Puts `target` at what of `ports` is free.
    pub(super) fn fill(&mut self, ports: RangeInclusive<u16>, target: &Arc<dyn PioTarget>) {
        let (first, last) = ports.into_inner();
        self.ranges.fill(&Place {
            first: first.into(),
            last: last.into(),
            base: first.into(),
            target: target.clone(),
        });
    }

    /// Returns which device answers where: the slot's name, its first and its last port.
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, u16, u16)> + '_ {
        self.ranges
            .0
            .iter()
            .map(|place| (place.target.name(), place.first as u16, place.last as u16))
    }

    /// Returns the device that answers at `port`, and the offset it sees.
    #[inline]
    fn find(&self, port: u16) -> Option<(&dyn PioTarget, u16)> {
        let place = self.ranges.find(port.into())?;
        Some((&*place.target, port - place.base as u16))
    }

    /// Reads; all ones where the device refuses, `None` where there is none.
    pub fn read(&self, port: u16, width: Width) -> Option<u32> {
        let (target, offset) = self.find(port)?;
        Some(match target.read(offset, width) {
            Ok(value) => value,
            Err(Refused::WrongWidth) if width != Width::Byte => self.read_bytes(port, width),
            Err(_) => width.ones() as u32,
        })
    }

    /// Reads bytes at consecutive ports, as an ISA bus splits an access that is too wide for the
    /// device.
    fn read_bytes(&self, port: u16, width: Width) -> u32 {
        (0..u16::from(width.bytes())).fold(0, |value, at| {
            let byte = self.read(port.wrapping_add(at), Width::Byte);
            value | (byte.unwrap_or(0xff) & 0xff) << (8 * at)
        })
    }

    /// Writes; lost where the device refuses, `None` where there is none.
    pub fn write(&self, port: u16, width: Width, value: u32) -> Option<()> {
        let (target, offset) = self.find(port)?;
        match target.write(offset, width, value) {
            Err(Refused::WrongWidth) if width != Width::Byte => {
                for at in 0..u16::from(width.bytes()) {
                    let byte = (value >> (8 * at)) & 0xff;
                    let _ = self.write(port.wrapping_add(at), Width::Byte, byte);
                }
            }
            // Any other refused write is lost, as on the real bus.
            Ok(()) | Err(_) => {}
        }
        Some(())
    }

    /// Returns how many elements of a string may be moved from or to `port` at a time.
    #[must_use]
    pub fn string_limit(&self, port: u16) -> u64 {
        self.find(port)
            .map_or(MANY_ELEMENTS, |(target, _)| target.string_limit())
    }

    /// Reads the same port until `into`, a multiple of `width`, is full.
    pub fn read_many(&self, port: u16, width: Width, into: &mut [u8]) {
        let Some((target, offset)) = self.find(port) else {
            into.fill(0xff);
            return;
        };
        let done = target.read_many(offset, width, into);
        // What the device refused, element by element: so a width it does not have is split.
        let rest = into.get_mut(done..).unwrap_or_default();
        for element in rest.chunks_exact_mut(width.bytes().into()) {
            let value = self.read(port, width).unwrap_or(u32::MAX).to_le_bytes();
            for (to, from) in element.iter_mut().zip(value) {
                *to = from;
            }
        }
    }

    /// Writes all of `from`, a multiple of `width`, to the same port.
    pub fn write_many(&self, port: u16, width: Width, from: &[u8]) {
        let Some((target, offset)) = self.find(port) else {
            return;
        };
        let done = target.write_many(offset, width, from);
        let rest = from.get(done..).unwrap_or_default();
        for element in rest.chunks_exact(width.bytes().into()) {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(element) {
                *to = *from;
            }
            let _ = self.write(port, width, u32::from_le_bytes(value));
        }
    }
}

/// The memory bus, for everything that is not RAM.
#[derive(Default)]
pub struct MmioBus {
    ranges: Ranges<dyn MmioTarget>,
}

impl MmioBus {
    /// Puts `target` at `range`.
    ///
    /// # Errors
    /// [`Overlap`] when an address is taken.
    pub fn claim(&mut self, range: GpaRange, target: Arc<dyn MmioTarget>) -> Result<(), Overlap> {
        let second = target.name();
        let first = range.start().raw();
        let place = Place {
            first,
            last: range.end().raw().wrapping_sub(1),
            base: first,
            target,
        };
        self.ranges.claim(place).map_err(|(other, at)| Overlap {
            first: other.name(),
            second,
            at,
        })
    }

    /// Puts `target` at what of `range` is free.
    pub(super) fn fill(&mut self, range: GpaRange, target: &Arc<dyn MmioTarget>) {
        let first = range.start().raw();
        self.ranges.fill(&Place {
            first,
            last: range.end().raw().wrapping_sub(1),
            base: first,
            target: target.clone(),
        });
    }

    /// Returns which device answers where: the slot's name, its first and its last address.
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        self.ranges
            .0
            .iter()
            .map(|place| (place.target.name(), place.first, place.last))
    }

    /// Returns how many ranges there is room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.ranges.0.capacity()
    }

    #[inline]
    fn find(&self, at: Gpa) -> Option<(&dyn MmioTarget, u64)> {
        let place = self.ranges.find(at.raw())?;
        Some((&*place.target, at.raw() - place.base))
    }

    /// Reads; all ones where no device answers.
    #[must_use]
    pub fn read(&self, at: Gpa, width: Width) -> u64 {
        match self.find(at) {
            Some((target, offset)) => target.read(offset, width).unwrap_or(width.ones()),
            None => width.ones(),
        }
    }

    /// Writes; lost where no device answers.
    pub fn write(&self, at: Gpa, width: Width, value: u64) {
        if let Some((target, offset)) = self.find(at) {
            // A refused write is lost, as on the real bus.
            let _ = target.write(offset, width, value);
        }
    }
}

/// Both buses.
#[derive(Default)]
pub struct BusTable {
    /// Ports.
    pub pio: PioBus,
    /// Memory beside RAM.
    pub mmio: MmioBus,
}

impl BusTable {
    /// An empty one with room for the devices of `fixed` and so many regions besides.
    pub(super) fn with_room(fixed: &Self, regions: usize) -> Self {
        Self {
            pio: PioBus {
                ranges: Ranges::with_room(&fixed.pio.ranges, regions),
            },
            mmio: MmioBus {
                ranges: Ranges::with_room(&fixed.mmio.ranges, regions),
            },
        }
    }
}

impl Clone for BusTable {
    fn clone(&self) -> Self {
        let mut table = Self::default();
        table.clone_from(self);
        table
    }

    fn clone_from(&mut self, other: &Self) {
        let Self { pio, mmio } = other;
        self.pio.ranges.clone_from(&pio.ranges);
        self.mmio.ranges.clone_from(&mmio.ranges);
    }
}
