//! A set of vectors: IRR, ISR or TMR.

use device::BadState;

/// A bit for each of the 256 vectors, and the highest one at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VectorSet {
    words: [u64; 4],
    /// The highest member; 0 when there is none, for vectors below 16 are never members.
    top: u8,
}

impl VectorSet {
    pub(super) const fn words(&self) -> [u64; 4] {
        self.words
    }

    /// Returns the set with these members, which were saved.
    pub(super) fn restored(words: [u64; 4]) -> Result<Self, BadState> {
        BadState::unless(
            words[0] & 0xffff == 0,
            "an exception's vector is an interrupt's",
        )?;
        let mut set = Self { words, top: 0 };
        set.find_top();
        Ok(set)
    }

    /// The highest member, 0 when there is none.
    #[inline]
    pub(super) const fn top(&self) -> u8 {
        self.top
    }

    pub(super) fn contains(&self, vector: u8) -> bool {
        let word = self.words.get(usize::from(vector >> 6));
        word.is_some_and(|word| word >> (vector & 63) & 1 != 0)
    }

    #[inline]
    pub(super) fn insert(&mut self, vector: u8) {
        if let Some(word) = self.words.get_mut(usize::from(vector >> 6)) {
            *word |= 1 << (vector & 63);
        }
        self.top = self.top.max(vector);
    }

    #[inline]
    pub(super) fn remove(&mut self, vector: u8) {
        if let Some(word) = self.words.get_mut(usize::from(vector >> 6)) {
            *word &= !(1 << (vector & 63));
        }
        if vector == self.top {
            self.find_top();
        }
    }

    fn find_top(&mut self) {
        self.top = 0;
        for (index, word) in self.words.iter().enumerate().rev() {
            if *word != 0 {
                self.top = (index as u8) << 6 | (63 - word.leading_zeros() as u8);
                return;
            }
        }
    }

    /// Register `index`, 0 to 7: vectors 32 × index and the 31 above.
    pub(super) fn register(&self, index: u8) -> u32 {
        let word = self.words.get(usize::from(index / 2)).copied().unwrap_or(0);
        (word >> (u32::from(index & 1) * 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_follows_insertions_and_removals() {
        let mut set = VectorSet::default();
        for vector in [16, 255, 64, 63, 128] {
            set.insert(vector);
        }
        for expected in [255, 128, 64, 63, 16, 0] {
            assert_eq!(set.top(), expected);
            set.remove(expected);
        }
    }

    #[test]
    fn registers_show_32_vectors_each() {
        let mut set = VectorSet::default();
        set.insert(0x31);
        assert_eq!(set.register(1), 1 << 17);
        assert!(set.contains(0x31));
    }
}
