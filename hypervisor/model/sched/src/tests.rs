//! Properties of the queue, on a simulated CPU and by hand.

mod shares;
mod turns;

use time::Instant;

const AT: fn(u64) -> Instant = Instant::from_ns;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Returns whether `got` is within this many percent of `wanted`.
fn is_near(got: u64, wanted: u64, percent: u64) -> bool {
    got.abs_diff(wanted) * 100 <= wanted * percent
}
