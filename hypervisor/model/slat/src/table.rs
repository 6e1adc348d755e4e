//! Four levels of tables from GPA to HPA.

use crate::format::{ADDRESS, Format, PAGE_SIZE, PageSize, leaf_entry, table_entry};
use addr::{Gpa, GpaRange, Hpa, PAGE_BYTES};
use core::marker::PhantomData;
use host::{NoMemory, Permissions};

/// Where tables live: frames of 512 entries, named by their host-physical address.
///
/// The CPU reads what is written here at any time, so `write` must store an entry in one piece.
pub trait TableMemory {
    /// A zeroed 4 KiB frame, or `None` when there is none.
    fn allocate(&self) -> Option<Hpa>;

    /// Takes back a frame that `allocate` gave.
    fn free(&self, table: Hpa);

    /// Entry `index`, 0 to 511.
    fn read(&self, table: Hpa, index: usize) -> u64;

    /// Replaces entry `index`, 0 to 511.
    fn write(&self, table: Hpa, index: usize, value: u64);
}

/// Mapping of a guest-physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The host-physical byte.
    pub hpa: Hpa,
    /// Rights of the guest there.
    pub permissions: Permissions,
    /// The size of the page it lies in.
    pub size: PageSize,
}

/// The tables of one VM.
///
/// Tables are only freed when the whole is dropped: no CPU can meet a frame that has found another use, whatever its TLB and
/// paging-structure caches still hold. Translations that were taken away or narrowed are counted in [`Self::generation`].
pub struct SlatTable<F: Format, M: TableMemory> {
    memory: M,
    root: Hpa,
    largest: PageSize,
    table_count: u64,
    generation: u64,
    format: PhantomData<fn() -> F>,
}

/// The level of the root table; leaves of 4 KiB are in level 0.
const ROOT_LEVEL: u32 = 3;
/// Entries in a table.
const ENTRIES: usize = 512;
/// First guest-physical address that four levels do not reach.
const END: u64 = 1 << 48;

impl<F: Format, M: TableMemory> SlatTable<F, M> {
    /// Tables that map nothing; leaves will be `largest` at most (1 GiB pages are a CPU feature).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(memory: M, largest: PageSize) -> Result<Self, NoMemory> {
        let root = memory.allocate().ok_or(NoMemory)?;
        Ok(Self {
            memory,
            root,
            largest,
            table_count: 1,
            generation: 0,
            format: PhantomData,
        })
    }

    /// Where the top table is: for EPTP or nCR3.
    #[must_use]
    pub fn root(&self) -> Hpa {
        self.root
    }

    /// Returns how often a translation was taken away, narrowed or redirected. The code that runs
    /// the VM remembers the number it last flushed for, and flushes (INVEPT, new ASID) before the
    /// next entry when it has changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes the tables take.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        self.table_count * PAGE_BYTES
    }

    /// Maps `range` to host-physical memory from `to` on, in the largest pages that fit; what was there before is replaced.
    ///
    /// # Errors
    /// [`NoMemory`]; a part may have been mapped then.
    ///
    /// # Panics
    /// When an end is not on a 4 KiB boundary or beyond 256 TiB: a mistake of ours, the ranges come from the VM's plan.
    pub fn map(
        &mut self,
        range: GpaRange,
        to: Hpa,
        permissions: Permissions,
    ) -> Result<(), NoMemory> {
        check(range);
        assert!(to.is_aligned(PAGE_BYTES), "{to} is not a page");
        let mut at = range.start();
        while at < range.end() {
            let done = at.raw() - range.start().raw();
            let left = range.len_bytes() - done;
            let to = to.wrapping_add(done);
            let place = self.descend(at, |size, entry| {
                size <= self.largest
                    && size.bytes() <= left
                    && at.is_aligned(size.bytes())
                    && to.is_aligned(size.bytes())
                    && !is_table::<F>(entry, size)
            });
            let place = self.open(at, place)?;
            let entry = leaf_entry::<F>(to, place.size, permissions);
            if F::is_present(place.entry) && place.entry != entry {
                self.generation += 1;
            }
            self.memory.write(place.table, place.index, entry);
            at = at.wrapping_add(place.size.bytes());
        }
        Ok(())
    }

    /// Takes every mapping of `range` away.
    ///
    /// # Errors
    /// [`NoMemory`] when a large page had to be split; a part may have been unmapped then.
    ///
    /// # Panics
    /// As [`Self::map`].
    pub fn unmap(&mut self, range: GpaRange) -> Result<(), NoMemory> {
        check(range);
        let mut at = range.start();
        while at < range.end() {
            let left = range.end().raw() - at.raw();
            let place = self.descend(at, |size, entry| {
                !F::is_present(entry)
                    || (!is_table::<F>(entry, size)
                        && size.bytes() <= left
                        && at.is_aligned(size.bytes()))
            });
            // Nothing there: on to the end of what this entry would cover.
            let place = match place {
                Stop::Found(place) | Stop::Above(place, _) if !F::is_present(place.entry) => {
                    let covered = entry_bytes(place.level);
                    at = Gpa::new((at.raw() & !(covered - 1)) + covered);
                    continue;
                }
                stop @ (Stop::Found(_) | Stop::Above(..)) => self.open(at, stop)?,
            };
            self.memory.write(place.table, place.index, 0);
            self.generation += 1;
            at = at.wrapping_add(place.size.bytes());
        }
        Ok(())
    }

    /// Returns what `gpa` is mapped to.
    #[must_use]
    pub fn translate(&self, gpa: Gpa) -> Option<Mapping> {
        if gpa.raw() >= END {
            return None;
        }
        let mut table = self.root;
        for level in (0..=ROOT_LEVEL).rev() {
            let entry = self.memory.read(table, index_of(gpa, level));
            if !F::is_present(entry) {
                return None;
            }
            match PageSize::of_level(level) {
                Some(size) if !is_table::<F>(entry, size) => {
                    let start = entry & ADDRESS & !(size.bytes() - 1);
                    return Some(Mapping {
                        hpa: Hpa::new(start | (gpa.raw() & (size.bytes() - 1))),
                        permissions: F::permissions(entry),
                        size,
                    });
                }
                _ => table = Hpa::new(entry & ADDRESS),
            }
        }
        None
    }

    /// Follows existing tables towards `at` until `is_good` accepts an entry a leaf could be in, or no table leads on.
    fn descend(&self, at: Gpa, is_good: impl Fn(PageSize, u64) -> bool) -> Stop {
        let mut table = self.root;
        let mut level = ROOT_LEVEL;
        loop {
            let index = index_of(at, level);
            let entry = self.memory.read(table, index);
            let size = PageSize::of_level(level);
            let place = Place {
                table,
                index,
                entry,
                level,
                size: size.unwrap_or(PageSize::Huge),
            };
            if level == 0 || size.is_some_and(|size| is_good(size, entry)) {
                return Stop::Found(place);
            }
            let leads_on = F::is_present(entry) && size.is_none_or(|s| is_table::<F>(entry, s));
            if !leads_on {
                // The largest size that is good here is looked for again in the new table; good enough at level 0 always.
                let below = (0..level)
                    .rev()
                    .find(|l| PageSize::of_level(*l).is_some_and(|s| is_good(s, 0)));
                return Stop::Above(place, below.unwrap_or(0));
            }
            table = Hpa::new(entry & ADDRESS);
            level -= 1;
        }
    }

    /// Makes the tables, splitting large pages, that lead from where a descent stopped to the level it wants.
    fn open(&mut self, at: Gpa, stop: Stop) -> Result<Place, NoMemory> {
        let (mut place, wanted) = match stop {
            Stop::Found(place) => return Ok(place),
            Stop::Above(place, wanted) => (place, wanted),
        };
        while place.level > wanted {
            let table = self.memory.allocate().ok_or(NoMemory)?;
            self.table_count += 1;
            let level = place.level - 1;
            // `level` is 2 at most: it is one below a table's.
            let size = PageSize::of_level(level).unwrap_or(PageSize::Small);
            if F::is_present(place.entry) {
                let start = Hpa::new(place.entry & ADDRESS & !(place.size.bytes() - 1));
                let permissions = F::permissions(place.entry);
                for index in 0..ENTRIES {
                    let piece = start.wrapping_add(index as u64 * size.bytes());
                    let leaf = leaf_entry::<F>(piece, size, permissions);
                    self.memory.write(table, index, leaf);
                }
            }
            self.memory
                .write(place.table, place.index, table_entry::<F>(table));
            let index = index_of(at, level);
            place = Place {
                table,
                index,
                entry: self.memory.read(table, index),
                level,
                size,
            };
        }
        Ok(place)
    }

    /// Frees `table` and what hangs below it.
    fn free(&self, table: Hpa, level: u32) {
        if level > 0 {
            for index in 0..ENTRIES {
                let entry = self.memory.read(table, index);
                let leads_on = F::is_present(entry)
                    && PageSize::of_level(level).is_none_or(|size| is_table::<F>(entry, size));
                if leads_on {
                    self.free(Hpa::new(entry & ADDRESS), level - 1);
                }
            }
        }
        self.memory.free(table);
    }
}

impl<F: Format, M: TableMemory> Drop for SlatTable<F, M> {
    fn drop(&mut self) {
        self.free(self.root, ROOT_LEVEL);
    }
}

impl<F: Format, M: TableMemory + Send + Sync> host::Slat for SlatTable<F, M> {
    fn map(&mut self, range: GpaRange, to: Hpa, permissions: Permissions) -> Result<(), NoMemory> {
        self.map(range, to, permissions)
    }

    fn table_bytes(&self) -> u64 {
        self.table_bytes()
    }
}

/// One entry of one table.
#[derive(Clone, Copy)]
struct Place {
    table: Hpa,
    index: usize,
    entry: u64,
    level: u32,
    /// Of a leaf in this place; meaningless in the root.
    size: PageSize,
}

/// Where a descent ended.
enum Stop {
    /// In an entry that is good.
    Found(Place),
    /// In an entry with no table below it; the level to go to.
    Above(Place, u32),
}

/// Returns whether a present entry in the level of `size` points to another table.
fn is_table<F: Format>(entry: u64, size: PageSize) -> bool {
    size != PageSize::Small && F::is_present(entry) && entry & PAGE_SIZE == 0
}

/// Bytes one entry of this level covers.
const fn entry_bytes(level: u32) -> u64 {
    1 << (12 + 9 * level)
}

const fn index_of(at: Gpa, level: u32) -> usize {
    (at.raw() >> (12 + 9 * level)) as usize & (ENTRIES - 1)
}

fn check(range: GpaRange) {
    assert!(
        range.start().is_aligned(PAGE_BYTES)
            && range.end().is_aligned(PAGE_BYTES)
            && range.end().raw() <= END,
        "{range:?} cannot be mapped"
    );
}

#[cfg(test)]
mod tests;
