//! Tests of the buses.

use super::*;
use addr::{Gpa, GpaRange};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

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

/// Answers with its offset, and counts the accesses.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) hits: AtomicU64,
}

impl MmioTarget for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn read(&self, at: u64, _: Width) -> Result<u64, Refused> {
        self.hits.fetch_add(1, Ordering::Relaxed);
        Ok(at)
    }
    fn write(&self, _: u64, _: Width, _: u64) -> Result<(), Refused> {
        Ok(())
    }
}

pub(super) fn range(start: u64, bytes: u64) -> GpaRange {
    GpaRange::new(Gpa::new(start), bytes).expect("no wrap")
}

pub(super) fn bus_with_probe() -> (Arc<Bus>, Arc<Probe>, Region) {
    let bus = Arc::new(Bus::new());
    let probe = Arc::new(Probe::default());
    let region = bus.memory_region(probe.clone());
    (bus, probe, region)
}

pub(super) fn commit(bus: &Bus) {
    bus.commit(&[], None, || ());
}

#[test]
fn a_region_answers_where_it_was_mapped_last() {
    let (bus, _, region) = bus_with_probe();
    let read = |at| bus.table().mmio.read(Gpa::new(at), Width::Dword);
    region.map(range(0xc000_0000, 0x1000));
    assert_eq!(
        read(0xc000_0010),
        0xffff_ffff,
        "not before it is carried out"
    );
    assert!(bus.is_pending());
    commit(&bus);
    assert!(!bus.is_pending());
    assert_eq!(read(0xc000_0010), 0x10);
    region.map(range(0xc000_2000, 0x1000));
    commit(&bus);
    assert_eq!((read(0xc000_0010), read(0xc000_2020)), (0xffff_ffff, 0x20));
    let generation = bus.generation();
    region.map(range(0xc000_2000, 0x1000));
    assert!(!bus.is_pending(), "nothing has changed");
    region.unmap();
    commit(&bus);
    assert_eq!(read(0xc000_2020), 0xffff_ffff);
    assert_eq!(bus.generation(), generation + 1);
}

#[test]
fn whoever_was_there_first_stays() {
    let (bus, _, region) = bus_with_probe();
    let fixed = Arc::new(Probe::default());
    bus.claim(|table| table.mmio.claim(range(0xfec0_0000, 0x1000), fixed.clone()))
        .expect("free");
    let other = Arc::new(Probe::default());
    let second = bus.memory_region(other.clone());
    region.map(range(0xfebf_f000, 0x3000));
    second.map(range(0xfec0_1800, 0x1000));
    commit(&bus);
    let table = bus.table();
    let read = |at| table.mmio.read(Gpa::new(at), Width::Dword);
    // Each sees its own offsets, and the first region goes on behind the device in its middle.
    assert_eq!(read(0xfebf_f004), 4);
    assert_eq!(read(0xfec0_0008), 8);
    assert_eq!(read(0xfec0_1004), 0x2004);
    assert_eq!(read(0xfec0_1ffc), 0x2ffc);
    assert_eq!(read(0xfec0_2004), 0x804);
    assert_eq!(other.hits.load(Ordering::Relaxed), 1);
    assert_eq!(fixed.hits.load(Ordering::Relaxed), 1);
}

#[test]
fn a_region_at_the_end_of_everything_does_not_wrap() {
    let (bus, _, region) = bus_with_probe();
    region.map(range(u64::MAX - 0xffff, 0xffff));
    commit(&bus);
    let at = Gpa::new(u64::MAX - 0x10);
    assert_eq!(bus.table().mmio.read(at, Width::Byte), 0xffef);
}

#[test]
fn a_region_that_is_cut_into_many_pieces_answers_in_the_first_ones_and_takes_no_room() {
    let (bus, _, region) = bus_with_probe();
    let fixed = Arc::new(Probe::default());
    for number in 0..10 {
        let page = range(0xc000_1000 + number * 0x2000, 0x1000);
        bus.claim(|table| table.mmio.claim(page, fixed.clone()))
            .expect("free");
    }
    bus.seal();
    let mut table = bus.empty_table();
    let room = table.mmio.room();
    region.map(range(0xc000_0000, 0x10_0000));
    commit(&bus);
    bus.copy_table_to(&mut table);
    let read = |at: u64| table.mmio.read(Gpa::new(at), Width::Dword);
    assert_eq!(read(0xc000_6000), 0x6000, "the fourth piece");
    assert_eq!(read(0xc000_8000), 0xffff_ffff, "the fifth");
    assert_eq!(read(0xc000_9000), 0, "a device at a fixed place");
    assert_eq!(table.mmio.room(), room, "nothing was allocated");
}
