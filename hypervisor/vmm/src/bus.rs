//! Who answers at a port or an address: built before the VM runs, never changed afterwards.

use addr::{Gpa, GpaRange};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use device::{Refused, Width};

/// A slot seen from the port bus.
pub(crate) trait PioTarget: Send + Sync {
    /// The slot's name.
    fn name(&self) -> &'static str;
    /// See [`device::PioDevice::read`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&self, at: u16, width: Width) -> Result<u32, Refused>;
    /// See [`device::PioDevice::write`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&self, at: u16, width: Width, value: u32) -> Result<(), Refused>;
}

/// A slot seen from the memory bus.
pub(crate) trait MmioTarget: Send + Sync {
    /// The slot's name.
    fn name(&self) -> &'static str;
    /// See [`device::MmioDevice::read`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn read(&self, at: u64, width: Width) -> Result<u64, Refused>;
    /// See [`device::MmioDevice::write`].
    ///
    /// # Errors
    /// [`Refused`] when no register answers.
    fn write(&self, at: u64, width: Width, value: u64) -> Result<(), Refused>;
}

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

struct PioRange {
    first: u16,
    last: u16,
    base: u16,
    target: Arc<dyn PioTarget>,
}

/// The port bus. An access belongs to the device at its first port; what nobody answers floats high.
pub(crate) struct PioBus {
    ranges: Vec<PioRange>,
    reported: Vec<AtomicU64>,
}

impl Default for PioBus {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            reported: (0..1024).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl PioBus {
    /// Puts `target` at `ports`; it sees offsets from `base`.
    ///
    /// # Errors
    /// [`Overlap`] when a port is taken.
    pub(crate) fn claim(
        &mut self,
        ports: RangeInclusive<u16>,
        base: u16,
        target: Arc<dyn PioTarget>,
    ) -> Result<(), Overlap> {
        let (first, last) = ports.into_inner();
        let at = self.ranges.partition_point(|range| range.last < first);
        if let Some(other) = self.ranges.get(at).filter(|other| other.first <= last) {
            return Err(Overlap {
                first: other.target.name(),
                second: target.name(),
                at: first.max(other.first).into(),
            });
        }
        self.ranges.insert(
            at,
            PioRange {
                first,
                last,
                base,
                target,
            },
        );
        Ok(())
    }

    /// Who answers where: the slot's name, its first and its last port.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&'static str, u16, u16)> + '_ {
        self.ranges
            .iter()
            .map(|range| (range.target.name(), range.first, range.last))
    }

    fn find(&self, port: u16) -> Option<&PioRange> {
        let at = self.ranges.partition_point(|range| range.last < port);
        self.ranges.get(at).filter(|range| range.first <= port)
    }

    /// Reads; all ones where nobody answers.
    pub(crate) fn read(&self, port: u16, width: Width) -> u32 {
        match self.find(port) {
            Some(range) => match range.target.read(port - range.base, width) {
                Ok(value) => value,
                Err(Refused::WrongWidth) if width != Width::Byte => self.read_bytes(port, width),
                Err(_) => width.ones() as u32,
            },
            None => width.ones() as u32,
        }
    }

    /// What a device that has no such width does not take, an ISA bus splits into bytes at consecutive ports.
    fn read_bytes(&self, port: u16, width: Width) -> u32 {
        (0..u16::from(width.bytes())).fold(0, |value, at| {
            let byte = self.read(port.wrapping_add(at), Width::Byte);
            value | (byte & 0xff) << (8 * at)
        })
    }

    /// Writes; lost where nobody answers.
    pub(crate) fn write(&self, port: u16, width: Width, value: u32) {
        let Some(range) = self.find(port) else { return };
        match range.target.write(port - range.base, width, value) {
            Err(Refused::WrongWidth) if width != Width::Byte => {
                for at in 0..u16::from(width.bytes()) {
                    self.write(
                        port.wrapping_add(at),
                        Width::Byte,
                        (value >> (8 * at)) & 0xff,
                    );
                }
            }
            // Any other refused write is lost, as on the real bus.
            Ok(()) | Err(_) => {}
        }
    }

    /// Whether `port` is empty and was not reported before: each is worth one line.
    pub(crate) fn is_news(&self, port: u16) -> bool {
        if self.find(port).is_some() {
            return false;
        }
        let word = &self.reported[usize::from(port >> 6)];
        let bit = 1 << (port & 63);
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

struct MmioRange {
    range: GpaRange,
    target: Arc<dyn MmioTarget>,
}

/// The memory bus, for everything that is not RAM.
#[derive(Default)]
pub(crate) struct MmioBus {
    ranges: Vec<MmioRange>,
}

impl MmioBus {
    /// Puts `target` at `range`.
    ///
    /// # Errors
    /// [`Overlap`] when an address is taken.
    pub(crate) fn claim(
        &mut self,
        range: GpaRange,
        target: Arc<dyn MmioTarget>,
    ) -> Result<(), Overlap> {
        let at = self
            .ranges
            .partition_point(|other| other.range.end() <= range.start());
        if let Some(other) = self.ranges.get(at).filter(|o| o.range.overlaps(&range)) {
            return Err(Overlap {
                first: other.target.name(),
                second: target.name(),
                at: range.start().max(other.range.start()).raw(),
            });
        }
        self.ranges.insert(at, MmioRange { range, target });
        Ok(())
    }

    /// Who answers where: the slot's name, its first and its last address.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        self.ranges.iter().map(|other| {
            let (first, end) = (other.range.start().raw(), other.range.end().raw());
            (other.target.name(), first, end - 1)
        })
    }

    fn find(&self, at: Gpa) -> Option<(&dyn MmioTarget, u64)> {
        let index = self.ranges.partition_point(|other| other.range.end() <= at);
        let found = self.ranges.get(index)?;
        let offset = at.offset_from(found.range.start())?;
        Some((&*found.target, offset))
    }

    /// Reads; all ones where nobody answers.
    pub(crate) fn read(&self, at: Gpa, width: Width) -> u64 {
        match self.find(at) {
            Some((target, offset)) => target.read(offset, width).unwrap_or(width.ones()),
            None => width.ones(),
        }
    }

    /// Writes; lost where nobody answers.
    pub(crate) fn write(&self, at: Gpa, width: Width, value: u64) {
        if let Some((target, offset)) = self.find(at) {
            // A refused write is lost, as on the real bus.
            let _ = target.write(offset, width, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, u32);

    impl PioTarget for Fixed {
        fn name(&self) -> &'static str {
            self.0
        }
        fn read(&self, at: u16, width: Width) -> Result<u32, Refused> {
            if width == Width::Byte {
                Ok(self.1 + u32::from(at))
            } else {
                Err(Refused::WrongWidth)
            }
        }
        fn write(&self, _: u16, _: Width, _: u32) -> Result<(), Refused> {
            Ok(())
        }
    }

    #[test]
    fn overlap_names_both_devices() {
        let mut bus = PioBus::default();
        bus.claim(0x3f8..=0x3ff, 0x3f8, Arc::new(Fixed("uart0", 0)))
            .expect("free");
        let error = bus.claim(0x3f0..=0x3f8, 0x3f0, Arc::new(Fixed("fdc", 0)));
        assert_eq!(
            error,
            Err(Overlap {
                first: "uart0",
                second: "fdc",
                at: 0x3f8
            })
        );
    }

    #[test]
    fn empty_ports_float_high_and_wide_accesses_are_split() {
        let mut bus = PioBus::default();
        bus.claim(0x10..=0x1f, 0x10, Arc::new(Fixed("a", 5)))
            .expect("free");
        assert_eq!(bus.read(0x12, Width::Byte), 7);
        assert_eq!(bus.read(0x12, Width::Word), 0x0807);
        assert_eq!(bus.read(0x1f, Width::Word), 0xff14);
        assert_eq!(bus.read(0x20, Width::Dword), 0xffff_ffff);
        assert!(bus.is_news(0x20));
        assert!(!bus.is_news(0x20));
        assert!(!bus.is_news(0x12));
    }
}
