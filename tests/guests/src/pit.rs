//! The PIT's channel 0. (8254 datasheet)

use crate::port::out8;

const CHANNEL_0: u16 = 0x40;
const COMMAND: u16 = 0x43;
/// Input clock in Hz.
pub const HZ: u32 = 1_193_182;

/// Ticks so many times a second, at least 19.
pub fn periodic(hz: u32) {
    const LOW_HIGH_RATE: u8 = 0x34;
    let divisor = (HZ / hz).min(0xffff) as u16;
    out8(COMMAND, LOW_HIGH_RATE);
    out8(CHANNEL_0, divisor as u8);
    out8(CHANNEL_0, (divisor >> 8) as u8);
}

/// Stops ticking: a count that is never completed.
pub fn stop() {
    const LOW_HIGH_ONE_SHOT: u8 = 0x30;
    out8(COMMAND, LOW_HIGH_ONE_SHOT);
}
