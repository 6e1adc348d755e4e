//! Tables against a plain map of pages.

use super::*;
use crate::{Ept, Npt};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Frames(Arc<Mutex<BTreeMap<u64, Box<[u64; 512]>>>>, Arc<Mutex<u64>>);

impl TableMemory for Frames {
    fn allocate(&self) -> Option<Hpa> {
        let mut next = self.1.lock().expect("one thread");
        *next += PAGE_BYTES;
        self.0
            .lock()
            .expect("one thread")
            .insert(*next, Box::new([0; 512]));
        Some(Hpa::new(*next))
    }

    fn free(&self, table: Hpa) {
        let freed = self.0.lock().expect("one thread").remove(&table.raw());
        assert!(freed.is_some(), "{table} freed twice");
    }

    fn read(&self, table: Hpa, index: usize) -> u64 {
        self.0.lock().expect("one thread")[&table.raw()][index]
    }

    fn write(&self, table: Hpa, index: usize, value: u64) {
        let mut frames = self.0.lock().expect("one thread");
        frames.get_mut(&table.raw()).expect("allocated")[index] = value;
    }
}

fn range(start: u64, len_bytes: u64) -> GpaRange {
    GpaRange::new(Gpa::new(start), len_bytes).expect("small")
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn the_largest_pages_that_fit_are_used() {
    let mut table = SlatTable::<Ept, _>::new(Frames::default(), PageSize::Huge).expect("memory");
    table
        .map(range(0, 3 * GIB), Hpa::new(8 * GIB), Permissions::All)
        .expect("memory");
    assert_eq!(table.table_bytes(), 2 * PAGE_BYTES);
    let there = table.translate(Gpa::new(GIB + 5)).expect("mapped");
    assert_eq!(
        (there.hpa, there.size),
        (Hpa::new(9 * GIB + 5), PageSize::Huge)
    );

    let mut table = SlatTable::<Npt, _>::new(Frames::default(), PageSize::Large).expect("memory");
    table
        .map(range(0, GIB), Hpa::new(8 * GIB), Permissions::All)
        .expect("memory");
    assert_eq!(table.table_bytes(), 3 * PAGE_BYTES);
    // Two MiB on one side only: small pages.
    table
        .map(range(GIB, 2 * MIB), Hpa::new(MIB), Permissions::All)
        .expect("memory");
    assert_eq!(
        table.translate(Gpa::new(GIB)).expect("mapped").size,
        PageSize::Small
    );
    assert_eq!(table.translate(Gpa::new(GIB + 2 * MIB)), None);
}

#[test]
fn narrowing_bumps_the_generation_and_mapping_afresh_does_not() {
    let mut table = SlatTable::<Ept, _>::new(Frames::default(), PageSize::Huge).expect("memory");
    let to = Hpa::new(4 * GIB);
    table
        .map(range(0, GIB), to, Permissions::All)
        .expect("memory");
    assert_eq!(table.generation(), 0);
    table
        .map(range(0, GIB), to, Permissions::All)
        .expect("memory");
    assert_eq!(table.generation(), 0);
    table
        .map(
            range(0xe0000, 0x20000),
            Hpa::new(7 << 20),
            Permissions::ReadExecute,
        )
        .expect("memory");
    let narrowed = table.generation();
    assert!(narrowed > 0);
    let rom = table.translate(Gpa::new(0xf0010)).expect("mapped");
    assert_eq!(rom.permissions, Permissions::ReadExecute);
    assert_eq!(rom.hpa, Hpa::new((7 << 20) + 0x10010));
    let after = table.translate(Gpa::new(0x10_0000)).expect("mapped");
    assert_eq!(
        (after.hpa, after.permissions),
        (to.wrapping_add(0x10_0000), Permissions::All)
    );
    table.unmap(range(0x1000, 0x1000)).expect("memory");
    assert!(table.generation() > narrowed);
    assert_eq!(table.translate(Gpa::new(0x1fff)), None);
}

#[test]
fn every_table_is_freed_once() {
    let frames = Frames::default();
    let mut table = SlatTable::<Npt, _>::new(frames.clone(), PageSize::Huge).expect("memory");
    table
        .map(range(0, 5 * GIB), Hpa::new(0), Permissions::All)
        .expect("memory");
    table.unmap(range(0x5000, 3 * GIB)).expect("memory");
    drop(table);
    assert!(frames.0.lock().expect("one thread").is_empty());
}

/// Random maps and unmaps, compared page by page with a map of pages.
fn compare<F: Format>(seed: u64, largest: PageSize) {
    let mut state = seed;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    // Two GiB pages' edge with a few large pages on either side, in pages.
    let base = GIB / PAGE_BYTES - 1024;
    let span = 2048 + 600;
    let mut model: BTreeMap<u64, (u64, Permissions)> = BTreeMap::new();
    let mut table = SlatTable::<F, _>::new(Frames::default(), largest).expect("memory");
    for _ in 0..60 {
        let coarse = random(2) == 0;
        let unit = if coarse { 512 } else { 1 };
        let start = base + random(span / unit) * unit;
        let count = (1 + random(700) / unit) * unit;
        let at = range(start * PAGE_BYTES, count * PAGE_BYTES);
        if random(3) == 0 {
            table.unmap(at).expect("memory");
            for page in start..start + count {
                model.remove(&page);
            }
        } else {
            let to = (1 << 20) + random(64) * unit;
            let permissions = if random(2) == 0 {
                Permissions::All
            } else {
                Permissions::ReadExecute
            };
            table
                .map(at, Hpa::new(to * PAGE_BYTES), permissions)
                .expect("memory");
            for page in 0..count {
                model.insert(start + page, (to + page, permissions));
            }
        }
    }
    for page in base - 600..base + span + 1400 {
        let found = table
            .translate(Gpa::new(page * PAGE_BYTES + 9))
            .map(|m| (m.hpa.raw(), m.permissions));
        let expected = model
            .get(&page)
            .map(|(to, permissions)| (to * PAGE_BYTES + 9, *permissions));
        assert_eq!(found, expected, "page {page:#x}, seed {seed}");
    }
}

#[test]
fn tables_agree_with_a_plain_map() {
    for seed in 1..40 {
        compare::<Ept>(seed, PageSize::Huge);
        compare::<Npt>(seed * 7919, PageSize::Large);
        compare::<Npt>(seed * 104_729, PageSize::Small);
    }
}
