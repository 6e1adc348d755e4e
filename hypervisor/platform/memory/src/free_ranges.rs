//! Which physical addresses are free: a short sorted list of ranges.
//!
//! Firmware maps have some dozens of ranges, and large pieces stay large: small requests are taken from the
//! smallest range that fits, so guests find contiguous, well aligned memory.

/// Number of free ranges that can be told apart; what falls off the end when memory is that
/// fragmented is lost.
const CAPACITY: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
}

/// Free physical memory.
pub(crate) struct FreeRanges {
    ranges: [Range; CAPACITY],
    len: usize,
    free_bytes: u64,
    lost_bytes: u64,
}

/// Where a piece must lie: `start % align == phase`, and its end not above `limit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// A power of two.
    pub(crate) align: u64,
    /// Below `align`.
    pub(crate) phase: u64,
    /// First address it must not reach.
    pub(crate) limit: u64,
}

impl Placement {
    pub(crate) const fn aligned(align: u64) -> Self {
        Self {
            align,
            phase: 0,
            limit: u64::MAX,
        }
    }
}

impl FreeRanges {
    pub(crate) const fn new() -> Self {
        Self {
            ranges: [Range { start: 0, end: 0 }; CAPACITY],
            len: 0,
            free_bytes: 0,
            lost_bytes: 0,
        }
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    pub(crate) fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    fn list(&self) -> &[Range] {
        &self.ranges[..self.len]
    }

    /// Gives memory back. It must not be free already.
    pub(crate) fn insert(&mut self, start: u64, bytes: u64) {
        let Some(end) = start.checked_add(bytes) else {
            return;
        };
        if bytes == 0 {
            return;
        }
        let at = self.list().partition_point(|range| range.start < start);
        let joins_below = at > 0 && self.ranges[at - 1].end == start;
        let joins_above = at < self.len && self.ranges[at].start == end;
        debug_assert!(at == 0 || self.ranges[at - 1].end <= start, "freed twice");
        debug_assert!(
            at == self.len || end <= self.ranges[at].start,
            "freed twice"
        );
        match (joins_below, joins_above) {
            (true, true) => {
                self.ranges[at - 1].end = self.ranges[at].end;
                self.remove(at);
            }
            (true, false) => self.ranges[at - 1].end = end,
            (false, true) => self.ranges[at].start = start,
            (false, false) => {
                if self.len == CAPACITY {
                    self.lost_bytes += bytes;
                    return;
                }
                self.ranges.copy_within(at..self.len, at + 1);
                self.ranges[at] = Range { start, end };
                self.len += 1;
            }
        }
        self.free_bytes += bytes;
    }

    fn remove(&mut self, at: usize) {
        self.ranges.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }

    /// Takes `bytes` contiguous bytes out of the smallest range that has room for them.
    pub(crate) fn take(&mut self, bytes: u64, placement: Placement) -> Option<u64> {
        if bytes == 0 {
            return None;
        }
        let (index, start) = self
            .list()
            .iter()
            .enumerate()
            .filter_map(|(index, range)| Some((index, range, first_fit(range, bytes, placement)?)))
            .min_by_key(|(_, range, _)| range.end - range.start)
            .map(|(index, _, start)| (index, start))?;
        let Range {
            start: range_start,
            end: range_end,
        } = self.ranges[index];
        let end = start + bytes;
        let (keeps_below, keeps_above) = (range_start < start, end < range_end);
        if keeps_below && keeps_above && self.len == CAPACITY {
            return None;
        }
        self.free_bytes -= bytes;
        match (keeps_below, keeps_above) {
            (false, false) => self.remove(index),
            (true, false) => self.ranges[index].end = start,
            (false, true) => self.ranges[index].start = end,
            (true, true) => {
                self.ranges[index].end = start;
                self.ranges.copy_within(index + 1..self.len, index + 2);
                self.ranges[index + 1] = Range {
                    start: end,
                    end: range_end,
                };
                self.len += 1;
            }
        }
        Some(start)
    }
}

fn first_fit(range: &Range, bytes: u64, placement: Placement) -> Option<u64> {
    let Placement {
        align,
        phase,
        limit,
    } = placement;
    let shift = range.start.wrapping_sub(phase) & (align - 1);
    let start = if shift == 0 {
        range.start
    } else {
        range.start.checked_add(align - shift)?
    };
    let end = start.checked_add(bytes)?;
    (end <= range.end && end <= limit).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ranges: &[(u64, u64)]) -> FreeRanges {
        let mut free = FreeRanges::new();
        for &(start, bytes) in ranges {
            free.insert(start, bytes);
        }
        free
    }

    #[test]
    fn small_requests_spare_the_large_range() {
        let mut free = with(&[(0x100_0000, 0x1000_0000), (0x2000, 0x3000)]);
        assert_eq!(free.take(0x1000, Placement::aligned(0x1000)), Some(0x2000));
        assert_eq!(
            free.take(0x20_0000, Placement::aligned(0x20_0000)),
            Some(0x100_0000)
        );
    }

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let mut free = with(&[(0x1000, 0x9000)]);
        let before = free.free_bytes();
        let pieces = [(); 9].map(|()| {
            free.take(0x1000, Placement::aligned(0x1000))
                .expect("nine pages")
        });
        assert_eq!(free.take(0x1000, Placement::aligned(0x1000)), None);
        for at in [4, 0, 8, 2, 1, 3, 7, 5, 6] {
            free.insert(pieces[at], 0x1000);
        }
        assert_eq!((free.len, free.free_bytes()), (1, before));
    }

    #[test]
    fn phase_and_limit_are_kept() {
        let mut free = with(&[(0x1000, 0x100_0000)]);
        let placement = Placement {
            align: 0x20_0000,
            phase: 0x10_0000,
            limit: 0x60_0000,
        };
        assert_eq!(free.take(0x30_0000, placement), Some(0x10_0000));
        assert_eq!(free.take(0x30_0000, placement), None);
        assert_eq!(free.take(0x3000, placement), Some(0x50_0000));
    }

    #[test]
    fn overflow_loses_memory_but_nothing_else() {
        let mut free = FreeRanges::new();
        for n in 0..CAPACITY as u64 + 1 {
            free.insert(n * 0x2000, 0x1000);
        }
        assert_eq!(free.lost_bytes(), 0x1000);
        assert_eq!(free.free_bytes(), CAPACITY as u64 * 0x1000);
    }
}
