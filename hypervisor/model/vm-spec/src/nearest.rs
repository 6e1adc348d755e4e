//! Guessing what was meant by a word nobody knows.

use alloc::vec::Vec;

/// The one of `known` that `word` is most likely a slip of, if any is near.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |candidate: &&&str| distance(word, candidate);
    let best = known.iter().min_by_key(distance)?;
    (distance(&best) <= best.len().div_ceil(3)).then_some(*best)
}

/// Returns how many letters must be changed, added or removed to make `a` into `b`; `_` and `-`
/// count as the same. Long words are cut.
fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| -> Vec<char> {
        word.chars()
            .take(40)
            .map(|c| {
                if c == '_' {
                    '-'
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        assert_eq!(distance("memory", "memory"), 0);
        assert_eq!(distance("memroy", "memory"), 2);
        assert_eq!(distance("on_reboot", "on-reboot"), 0);
        assert_eq!(distance("", "cpus"), 4);
        assert_eq!(distance("cpus", ""), 4);
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["cpus", "memory", "kernel"];
        assert_eq!(nearest("cpu", &known), Some("cpus"));
        assert_eq!(nearest("Kernle", &known), Some("kernel"));
        assert_eq!(nearest("colour", &known), None);
    }
}
