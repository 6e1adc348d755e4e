//! Seconds since 1970-01-01 UTC, as calendar fields and back, in the proleptic Gregorian calendar.

use serde::{Deserialize, Serialize};

const DAY_S: i64 = 86_400;
/// Days in 400 years.
const ERA_DAYS: i64 = 146_097;
/// The last second of 9999, the last year two digits of century can name.
pub(crate) const MAX_SECONDS: i64 = 253_402_300_799;

/// A date and a time of day, as an RTC keeps them: numbers that may be nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calendar {
    pub(crate) second: u8,
    pub(crate) minute: u8,
    /// 0 to 23.
    pub(crate) hour: u8,
    /// 1 is Sunday.
    pub(crate) weekday: u8,
    pub(crate) day: u8,
    pub(crate) month: u8,
    /// Of the century.
    pub(crate) year: u8,
    pub(crate) century: u8,
}

impl Calendar {
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, MAX_SECONDS);
        let (days, rest) = (seconds / DAY_S, seconds % DAY_S);
        // Years are counted from March, so that the leap day is a year's last; day 0 of era 0 is 0000-03-01.
        let shifted = days + 719_468;
        let (era, day) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year + i64::from(month >= 10);
        Self {
            second: (rest % 60) as u8,
            minute: (rest / 60 % 60) as u8,
            hour: (rest / 3600) as u8,
            // 1970-01-01 was a Thursday.
            weekday: ((days + 4) % 7 + 1) as u8,
            day: day_of_month as u8,
            month: if month < 10 { month + 3 } else { month - 9 } as u8,
            year: (year % 100) as u8,
            century: (year / 100) as u8,
        }
    }

    /// The seconds of these fields; nonsense is taken for the nearest date.
    pub(crate) fn to_seconds(self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let year = i64::from(self.century) * 100 + i64::from(self.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day.clamp(1, 31)) - 1;
        let day = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * ERA_DAYS + day - 719_468;
        let time = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60;
        (days * DAY_S + time + i64::from(self.second)).clamp(0, MAX_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_come_out_right() {
        let day = Calendar::from_seconds(951_782_400); // 2000-02-29, a Tuesday
        assert_eq!((day.century, day.year, day.month, day.day), (20, 0, 2, 29));
        assert_eq!(day.weekday, 3);
        let day = Calendar::from_seconds(1_795_351_002); // 2026-11-22 12:36:42, a Sunday
        assert_eq!((day.year, day.month, day.day), (26, 11, 22));
        assert_eq!(
            (day.hour, day.minute, day.second, day.weekday),
            (12, 36, 42, 1)
        );
    }

    #[test]
    fn there_and_back_is_the_identity() {
        for seconds in (0..MAX_SECONDS).step_by(40_000_003) {
            assert_eq!(Calendar::from_seconds(seconds).to_seconds(), seconds);
        }
    }

    #[test]
    fn nonsense_has_an_answer() {
        for fields in [0, 0xff] {
            let calendar = Calendar {
                second: fields,
                minute: fields,
                hour: fields,
                weekday: fields,
                day: fields,
                month: fields,
                year: fields,
                century: fields,
            };
            assert!((0..=MAX_SECONDS).contains(&calendar.to_seconds()));
        }
    }
}
