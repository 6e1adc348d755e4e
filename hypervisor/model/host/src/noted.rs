//! Notes of a CPU for the epitaph of a panic.

/// The longest name that is noted whole.
const NAME_BYTES: usize = 32;

/// The name of a VM as a few words that are copied, so that a CPU can still tell it when the VM is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotedName([u64; NAME_BYTES / 8]);

impl NotedName {
    /// The first 32 bytes of `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut words = [0; NAME_BYTES / 8];
        for (word, bytes) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
            for (at, byte) in bytes.iter().enumerate() {
                *word |= u64::from(*byte) << (at * 8);
            }
        }
        Self(words)
    }

    /// Its bytes in little-endian words, zeroes behind the end.
    #[must_use]
    pub const fn words(&self) -> &[u64; NAME_BYTES / 8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_hold_the_name_and_zeroes() {
        let words = *NotedName::new("debian-12").words();
        assert_eq!(words.map(u64::to_le_bytes)[0], *b"debian-1");
        assert_eq!(words, [words[0], u64::from(b'2'), 0, 0]);
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        let name = "0123456789abcdef0123456789abcdefXYZ";
        assert_eq!(NotedName::new(name), NotedName::new(&name[..32]));
    }
}
