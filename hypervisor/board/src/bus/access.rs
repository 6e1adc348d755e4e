//! Who answers at a port or an address: built before the VM runs, never changed afterwards.

use addr::{Gpa, GpaRange};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use device::{Refused, Width};

/// A slot seen from the port bus.
pub trait PioTarget: Send + Sync {
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
    /// How many elements of a string may be moved at a time.
    fn string_limit(&self) -> u64;
    /// Reads one port again and again until `into` is full, or until the device refuses. Returns how many bytes were read.
    fn read_many(&self, at: u16, width: Width, into: &mut [u8]) -> usize;
    /// Writes all of `from` to one port, or until the device refuses. Returns how many bytes were written.
    fn write_many(&self, at: u16, width: Width, from: &[u8]) -> usize;
}

/// How many port accesses of one string instruction are done before the CPU's loop gets its turn, where each is an access by
/// itself. Each may print a line: 2 us.
pub(crate) const FEW_ELEMENTS: u64 = 512;
/// Likewise, where they are little more than copied.
pub(crate) const MANY_ELEMENTS: u64 = 8192;

/// A slot seen from the memory bus.
pub trait MmioTarget: Send + Sync {
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
pub struct PioBus {
    ranges: Vec<PioRange>,
    /// A bit for each port.
    reported: Box<[AtomicU64; 1024]>,
}

impl Default for PioBus {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            reported: Box::new(core::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
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
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, u16, u16)> + '_ {
        self.ranges
            .iter()
            .map(|range| (range.target.name(), range.first, range.last))
    }

    fn find(&self, port: u16) -> Option<&PioRange> {
        let at = self.ranges.partition_point(|range| range.last < port);
        self.ranges.get(at).filter(|range| range.first <= port)
    }

    /// Reads; all ones where the device refuses, `None` where there is none.
    pub fn read(&self, port: u16, width: Width) -> Option<u32> {
        let range = self.find(port)?;
        Some(match range.target.read(port - range.base, width) {
            Ok(value) => value,
            Err(Refused::WrongWidth) if width != Width::Byte => self.read_bytes(port, width),
            Err(_) => width.ones() as u32,
        })
    }

    /// What a device that has no such width does not take, an ISA bus splits into bytes at consecutive ports.
    fn read_bytes(&self, port: u16, width: Width) -> u32 {
        (0..u16::from(width.bytes())).fold(0, |value, at| {
            let byte = self.read(port.wrapping_add(at), Width::Byte);
            value | (byte.unwrap_or(0xff) & 0xff) << (8 * at)
        })
    }

    /// Writes; lost where the device refuses, `None` where there is none.
    pub fn write(&self, port: u16, width: Width, value: u32) -> Option<()> {
        let range = self.find(port)?;
        match range.target.write(port - range.base, width, value) {
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

    /// How many elements of a string may be moved from or to `port` at a time.
    pub fn string_limit(&self, port: u16) -> u64 {
        self.find(port)
            .map_or(MANY_ELEMENTS, |range| range.target.string_limit())
    }

    /// Reads the same port until `into`, a multiple of `width`, is full.
    pub fn read_many(&self, port: u16, width: Width, into: &mut [u8]) {
        let Some(range) = self.find(port) else {
            into.fill(0xff);
            return;
        };
        let done = range.target.read_many(port - range.base, width, into);
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
        let Some(range) = self.find(port) else { return };
        let done = range.target.write_many(port - range.base, width, from);
        let rest = from.get(done..).unwrap_or_default();
        for element in rest.chunks_exact(width.bytes().into()) {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(element) {
                *to = *from;
            }
            let _ = self.write(port, width, u32::from_le_bytes(value));
        }
    }

    /// Whether `port`, an empty one, was not reported before: each is worth one line.
    #[cold]
    fn is_first(&self, port: u16) -> bool {
        let bit = 1 << (port & 63);
        self.reported
            .get(usize::from(port >> 6))
            .is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// Whether `port`, an empty one, was not reported before: each is worth one line.
    #[inline]
    pub fn is_news(&self, port: u16) -> bool {
        let bit = 1 << (port & 63);
        self.reported
            .get(usize::from(port >> 6))
            .is_some_and(|word| word.load(Ordering::Relaxed) & bit == 0)
            && self.is_first(port)
    }
}

struct MmioRange {
    range: GpaRange,
    target: Arc<dyn MmioTarget>,
}

/// The memory bus, for everything that is not RAM.
#[derive(Default)]
pub struct MmioBus {
    ranges: Vec<MmioRange>,
}

impl MmioBus {
    /// Puts `target` at `range`.
    ///
    /// # Errors
    /// [`Overlap`] when an address is taken.
    pub fn claim(&mut self, range: GpaRange, target: Arc<dyn MmioTarget>) -> Result<(), Overlap> {
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
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
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
    pub fn read(&self, at: Gpa, width: Width) -> u64 {
        match self.find(at) {
            Some((target, offset)) => target.read(offset, width).unwrap_or(width.ones()),
            None => width.ones(),
        }
    }

    /// Writes; lost where nobody answers.
    pub fn write(&self, at: Gpa, width: Width, value: u64) {
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
        fn string_limit(&self) -> u64 {
            FEW_ELEMENTS
        }
        fn read_many(&self, at: u16, width: Width, into: &mut [u8]) -> usize {
            match self.read(at, width) {
                Ok(value) => {
                    into.fill(value as u8);
                    into.len()
                }
                Err(_) => 0,
            }
        }
        fn write_many(&self, _: u16, _: Width, from: &[u8]) -> usize {
            from.len()
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
        assert_eq!(bus.read(0x12, Width::Byte), Some(7));
        assert_eq!(bus.read(0x12, Width::Word), Some(0x0807));
        assert_eq!(bus.read(0x1f, Width::Word), Some(0xff14));
        assert_eq!(bus.read(0x20, Width::Dword), None);
        assert_eq!(bus.write(0x20, Width::Dword, 0), None);
        assert!(bus.is_news(0x20));
        assert!(!bus.is_news(0x20));
    }

    #[test]
    fn strings_come_whole_and_in_the_width_the_device_has() {
        let mut bus = PioBus::default();
        bus.claim(0x10..=0x1f, 0x10, Arc::new(Fixed("a", 5)))
            .expect("free");
        let mut bytes = [0; 4];
        bus.read_many(0x12, Width::Byte, &mut bytes);
        assert_eq!(bytes, [7; 4]);
        bus.read_many(0x12, Width::Word, &mut bytes);
        assert_eq!(bytes, [7, 8, 7, 8]);
        bus.read_many(0x30, Width::Word, &mut bytes);
        assert_eq!(bytes, [0xff; 4]);
        bus.write_many(0x12, Width::Byte, &bytes);
        assert_eq!(bus.string_limit(0x12), FEW_ELEMENTS);
    }
}
