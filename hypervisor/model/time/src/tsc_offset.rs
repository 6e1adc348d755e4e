//! Offset of one CPU's TSC from another's, by questions and answers between the two.
//!
//! The reference CPU reads its own TSC, asks the other CPU to read that one's, and reads its own
//! again when the answer is there. The answer was read between the two, so the offset is known up
//! to half of the round trip.

/// One question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscExchange {
    /// TSC of the reference CPU before it asked.
    pub asked: u64,
    /// TSC of the other CPU.
    pub answered: u64,
    /// TSC of the reference CPU when the answer was there.
    pub returned: u64,
}

/// The measured offset of a TSC from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscOffset {
    /// Ticks it is ahead of the reference; negative when it is behind.
    pub ticks: i64,
    /// Distance that `ticks` may have from the truth, either way.
    pub uncertainty_ticks: u64,
}

impl TscOffset {
    /// Takes the exchange with the shortest round trip; `None` without a usable one.
    ///
    /// An exchange in which the reference went backwards is not usable.
    #[must_use]
    pub fn measured(exchanges: &[TscExchange]) -> Option<Self> {
        let round_trip = |exchange: &TscExchange| exchange.returned.checked_sub(exchange.asked);
        let (shortest, best) = exchanges
            .iter()
            .filter_map(|exchange| Some((round_trip(exchange)?, exchange)))
            .min_by_key(|(ticks, _)| *ticks)?;
        let middle = best.asked.wrapping_add(shortest / 2);
        Some(Self {
            // A TSC that is behind shows as a negative number: two's complement.
            ticks: best.answered.wrapping_sub(middle).cast_signed(),
            uncertainty_ticks: shortest.div_ceil(2),
        })
    }

    /// Returns whether the offset may as well be none.
    #[must_use]
    pub const fn is_within_uncertainty(self) -> bool {
        self.ticks.unsigned_abs() <= self.uncertainty_ticks
    }
}

/// Conclusion from a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TscVerdict {
    /// The two agree as far as can be seen.
    Agrees(TscOffset),
    /// They differ: the TSC is to be moved back by the offset, then compared again.
    Adjust(TscOffset),
    /// They differ, and nothing can be done.
    Differs(TscOffset),
    /// No answer came.
    Unknown,
}

impl TscVerdict {
    /// Judges `exchanges`. So many more adjustments may be tried: none where the CPU has no way.
    #[must_use]
    pub fn of(exchanges: &[TscExchange], adjustments_left: u32) -> Self {
        match TscOffset::measured(exchanges) {
            None => Self::Unknown,
            Some(offset) if offset.is_within_uncertainty() => Self::Agrees(offset),
            Some(offset) if adjustments_left > 0 => Self::Adjust(offset),
            Some(offset) => Self::Differs(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn exchange(asked: u64, answered: u64, returned: u64) -> TscExchange {
        TscExchange {
            asked,
            answered,
            returned,
        }
    }

    #[test]
    fn an_answer_between_question_and_return_agrees() {
        for answered in [1_000, 1_050, 1_101] {
            let verdict = TscVerdict::of(&[exchange(1_000, answered, 1_101)], 3);
            assert!(matches!(verdict, TscVerdict::Agrees(_)), "{answered}");
        }
    }

    #[test]
    fn a_tick_outside_the_round_trip_differs() {
        for answered in [999, 1_101] {
            let verdict = TscVerdict::of(&[exchange(1_000, answered, 1_100)], 0);
            assert!(matches!(verdict, TscVerdict::Differs(_)), "{answered}");
        }
    }

    #[test]
    fn the_shortest_round_trip_decides() {
        let long_that_agrees = exchange(0, 5_000, 10_000);
        let short_that_differs = exchange(20_000, 25_000, 20_100);
        let offset = TscOffset {
            ticks: 4_950,
            uncertainty_ticks: 50,
        };
        for exchanges in [
            [long_that_agrees, short_that_differs],
            [short_that_differs, long_that_agrees],
        ] {
            assert_eq!(TscVerdict::of(&exchanges, 1), TscVerdict::Adjust(offset));
        }
    }

    #[test]
    fn a_tsc_that_is_behind_has_a_negative_offset() {
        // It was reset later, perhaps: far behind, and below the reference's own start.
        let offset = TscOffset::measured(&[exchange(1 << 40, 7, (1 << 40) + 10)]);
        assert_eq!(
            offset,
            Some(TscOffset {
                ticks: 2 - (1 << 40),
                uncertainty_ticks: 5
            })
        );
    }

    #[test]
    fn moving_by_the_offset_makes_them_agree() {
        for ahead in [i64::MIN / 2, -90, 90, 1 << 50] {
            let answered_by = |skew: i64| {
                let now = 1u64 << 60;
                exchange(now, (now + 30).wrapping_add_signed(skew), now + 100)
            };
            let TscVerdict::Adjust(offset) = TscVerdict::of(&[answered_by(ahead)], 1) else {
                panic!("{ahead} ticks went unnoticed");
            };
            let verdict = TscVerdict::of(&[answered_by(ahead - offset.ticks)], 0);
            assert!(matches!(verdict, TscVerdict::Agrees(_)), "{ahead}");
        }
    }

    #[test]
    fn without_an_answer_or_with_a_reference_that_goes_back_nothing_is_known() {
        assert_eq!(TscVerdict::of(&[], 3), TscVerdict::Unknown);
        assert_eq!(
            TscVerdict::of(&[exchange(10, 5, 9)], 3),
            TscVerdict::Unknown
        );
    }
}
