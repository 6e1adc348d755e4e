//! The machine's wall clock. (MC146818A datasheet; ports 0x70 and 0x71)

use cpu::IoPorts;

// SAFETY: the CMOS index port, whose bit 7 masks NMI on a PC and is kept clear, and the data port,
// which is only read.
const CMOS: IoPorts = unsafe { IoPorts::claim(0x70, 2) }.expect("below the last port");
const INDEX: u16 = 0;
const DATA: u16 = 1;

/// The clock's registers, as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: Option<u8>,
    status_b: u8,
}

/// Seconds since 1970-01-01 UTC; 0 where there is no clock. `century_index` is what the FADT says.
pub(crate) fn read_unix_seconds(century_index: Option<u8>) -> u64 {
    let mut last = read_raw(century_index);
    // Two equal readings were not cut by an update; after a few tries, any will do.
    for _ in 0..8 {
        let next = read_raw(century_index);
        if next == last {
            break;
        }
        last = next;
    }
    last.unix_seconds().unwrap_or(0)
}

fn read_cmos(index: u8) -> u8 {
    CMOS.write_u8(INDEX, index);
    CMOS.read_u8(DATA)
}

fn read_raw(century_index: Option<u8>) -> Raw {
    const UPDATE_IN_PROGRESS: u8 = 1 << 7;
    for _ in 0..100_000 {
        if read_cmos(0x0a) & UPDATE_IN_PROGRESS == 0 {
            break;
        }
    }
    Raw {
        second: read_cmos(0),
        minute: read_cmos(2),
        hour: read_cmos(4),
        day: read_cmos(7),
        month: read_cmos(8),
        year: read_cmos(9),
        century: century_index.map(read_cmos),
        status_b: read_cmos(0x0b),
    }
}

impl Raw {
    fn unix_seconds(&self) -> Option<u64> {
        const BINARY: u8 = 1 << 2;
        const HOURS_24: u8 = 1 << 1;
        const PM: u8 = 1 << 7;
        let number = |raw: u8| {
            let value = if self.status_b & BINARY != 0 {
                raw
            } else {
                (raw >> 4) * 10 + (raw & 0x0f)
            };
            u64::from(value)
        };
        let mut hour = number(self.hour & !PM);
        if self.status_b & HOURS_24 == 0 {
            hour = hour % 12 + if self.hour & PM != 0 { 12 } else { 0 };
        }
        let year = number(self.year);
        let century = self
            .century
            .map(number)
            .filter(|century| (19..=21).contains(century));
        let year = year + 100 * century.unwrap_or(if year < 70 { 20 } else { 19 });
        let (month, day) = (number(self.month), number(self.day));
        let (minute, second) = (number(self.minute), number(self.second));
        if !(1..=12).contains(&month)
            || !(1..=31).contains(&day)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        Some(((days_since_1970(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second)
    }
}

/// Days from 1970-01-01 to a Gregorian date from 1970 on.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let leap_days = (1970..year).filter(|&year| is_leap(year)).count() as u64;
    let leap_day = u64::from(month > 2 && is_leap(year));
    let before = BEFORE_MONTH.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    Some(year.checked_sub(1970)? * 365 + leap_days + before + leap_day + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Raw = Raw {
        second: 0x30,
        minute: 0x59,
        hour: 0x12,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        century: Some(0x20),
        status_b: 2,
    };

    #[test]
    fn bcd_binary_and_twelve_hours_agree() {
        // 2024-02-29 12:59:30 UTC
        assert_eq!(NOON.unix_seconds(), Some(1_709_211_570));
        let binary = Raw {
            second: 30,
            minute: 59,
            hour: 12,
            day: 29,
            month: 2,
            year: 24,
            century: None,
            status_b: 6,
        };
        assert_eq!(binary.unix_seconds(), NOON.unix_seconds());
        let twelve = Raw {
            hour: 0x92,
            status_b: 0,
            ..NOON
        };
        assert_eq!(twelve.unix_seconds(), NOON.unix_seconds());
        let midnight = Raw {
            hour: 0x12,
            status_b: 0,
            ..NOON
        };
        assert_eq!(midnight.unix_seconds(), Some(1_709_211_570 - 12 * 3600));
    }

    #[test]
    fn an_absent_clock_is_no_time() {
        let absent = Raw {
            second: 255,
            minute: 255,
            hour: 255,
            day: 255,
            month: 255,
            year: 255,
            century: None,
            status_b: 255,
        };
        assert_eq!(absent.unix_seconds(), None);
    }
}
