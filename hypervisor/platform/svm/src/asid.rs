//! Address-space identifiers: tags that keep the TLB entries of guests and host apart. (AMD APM vol. 2 15.16)
//!
//! A CPU hands out each number once per generation. When they run out, a new generation starts with one flush of everything,
//! and every vCPU comes back for a new number. Taking a new number is also how one guest's entries are flushed on CPUs that
//! cannot do so by ASID.

/// A number and the generation it belongs to. Generation 0 is never current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asid {
    pub(crate) number: u32,
    pub(crate) generation: u64,
}

/// The numbers of one CPU.
#[derive(Debug)]
pub(crate) struct AsidPool {
    generation: u64,
    next: u32,
    last: u32,
}

impl AsidPool {
    /// For a CPU with `count` numbers, 0 (the host's) included.
    pub(crate) fn new(count: u32) -> Self {
        // As if all were taken: what an earlier user of SVM left in the TLB goes with the first number.
        let last = count.saturating_sub(1).max(1);
        Self {
            generation: 1,
            next: last + 1,
            last,
        }
    }

    /// The current generation.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// A number nobody has in the current generation, and whether everything is to be flushed before its first use.
    pub(crate) fn take(&mut self) -> (Asid, bool) {
        let is_new_generation = self.next > self.last;
        if is_new_generation {
            self.generation += 1;
            self.next = 1;
        }
        let asid = Asid {
            number: self.next,
            generation: self.generation,
        };
        self.next += 1;
        (asid, is_new_generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_until_the_flush() {
        let mut pool = AsidPool::new(4);
        let taken = core::array::from_fn::<_, 7, _>(|_| pool.take());
        assert_eq!(taken.map(|(asid, _)| asid.number), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(
            taken.map(|(asid, _)| asid.generation),
            [2, 2, 2, 3, 3, 3, 4]
        );
        let flushes = [true, false, false, true, false, false, true];
        assert_eq!(taken.map(|(_, flush)| flush), flushes);
    }
}
