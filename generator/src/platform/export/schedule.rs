//! EventBridge Scheduler expressions ("Schedule types in EventBridge Scheduler", Amazon EventBridge Scheduler user
//! guide), parsed as far as needed to find the longest gap between two runs.
//!
//! Schedules that end, or that run only once, are rejected.

use fleetform_engine::units::Millis;
use jiff::{ToSpan as _, civil};

/// How often a schedule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// The longest time from one run to the next.
    pub(crate) longest_gap: Millis,
}

/// Why a text is not a valid schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSchedule {
    #[error("a schedule is written as `cron(…)` or `rate(…)`")]
    Form,
    #[error("a rate is a number and `minutes`, `hours` or `days`, singular for one, as in `rate(1 day)`")]
    Rate,
    #[error("a cron expression has six fields: minutes, hours, day of month, month, day of week, year")]
    Fields,
    #[error("one of the two fields for days is `?`, and the other is not")]
    Days,
    #[error("`{text}` is no {field} of a cron expression")]
    Field { field: &'static str, text: String },
    #[error("the field for years is `*`: exports do not end")]
    Years,
    #[error("no day is like that")]
    Never,
}

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// Maximum number of days between the last days, or the second Mondays, of two consecutive months.
const MONTHLY_DAYS: u64 = 35;
/// The longest rate, in days; a longer one makes no sense for exports.
const RATE_DAYS_MAX: u64 = 366;

impl Rhythm {
    /// Parses an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, NoSchedule> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inside("rate") {
            return parse_rate(rate);
        }
        let fields: Vec<&str> = inside("cron").ok_or(NoSchedule::Form)?.split_ascii_whitespace().collect();
        let [minutes, hours, day_of_month, month, day_of_week, year] = fields[..] else {
            return Err(NoSchedule::Fields);
        };
        MINUTES.parse(minutes)?;
        HOURS.parse(hours)?;
        let months = MONTHS.parse(month)?;
        if year != "*" {
            return Err(NoSchedule::Years);
        }
        let days = match (day_of_month, day_of_week) {
            ("?", day_of_week) if day_of_week != "?" => DAYS_OF_WEEK.parse_days(day_of_week)?,
            (day_of_month, "?") if day_of_month != "?" => DAYS_OF_MONTH.parse_days(day_of_month)?,
            _ => return Err(NoSchedule::Days),
        };
        let of_week = day_of_month == "?";
        let is_one = |day: civil::Date| {
            let in_days = match &days {
                Days::Monthly => day.day() == 1,
                Days::These(numbers) if of_week => numbers.contains(&sunday_is_one(day)),
                Days::These(numbers) => numbers.contains(&u32::from(day.day().unsigned_abs())),
            };
            in_days && months.contains(&u32::from(day.month().unsigned_abs()))
        };
        let days_apart = longest_gap(is_one).ok_or(NoSchedule::Never)?;
        let days_apart = if matches!(days, Days::Monthly) { days_apart.max(MONTHLY_DAYS) } else { days_apart };
        Ok(Self { longest_gap: Millis(days_apart * DAY_MS) })
    }
}

fn parse_rate(text: &str) -> Result<Rhythm, NoSchedule> {
    let (number, unit) = text.split_once(' ').ok_or(NoSchedule::Rate)?;
    let number = whole(number).map(u64::from).ok_or(NoSchedule::Rate)?;
    let unit = match (number, unit.trim()) {
        (1, "minute") | (2.., "minutes") => MINUTE_MS,
        (1, "hour") | (2.., "hours") => 60 * MINUTE_MS,
        (1, "day") | (2.., "days") => DAY_MS,
        _ => return Err(NoSchedule::Rate),
    };
    let gap = number.checked_mul(unit).filter(|gap| *gap <= RATE_DAYS_MAX * DAY_MS).ok_or(NoSchedule::Rate)?;
    Ok(Rhythm { longest_gap: Millis(gap) })
}

/// The largest number of days from one matching day to the next, over a leap year and the years around it.
fn longest_gap(is_one: impl Fn(civil::Date) -> bool) -> Option<u64> {
    let first = civil::date(2027, 1, 1);
    let (mut last, mut longest): (Option<u64>, Option<u64>) = (None, None);
    for number in 0..6 * 366_u64 {
        if !first.checked_add(number.cast_signed().days()).is_ok_and(&is_one) {
            continue;
        }
        if let Some(last) = last {
            longest = longest.max(Some(number - last));
        }
        last = Some(number);
    }
    longest
}

/// Parses a number that consists only of digits.
fn whole(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The number of a weekday, where Sunday is 1.
fn sunday_is_one(day: civil::Date) -> u32 {
    u32::from(day.weekday().to_sunday_one_offset().unsigned_abs())
}

/// The allowed values of a field.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOURS: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAYS_OF_MONTH: Field = Field { name: "day of month", least: 1, most: 31, names: &[] };
const MONTHS: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const DAYS_OF_WEEK: Field =
    Field { name: "day of week", least: 1, most: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

/// The days that a field selects.
enum Days {
    /// Days by number.
    These(Vec<u32>),
    /// One day of each month, whichever it is.
    Monthly,
}

impl Field {
    /// The numbers that a field selects.
    fn parse(&self, text: &str) -> Result<Vec<u32>, NoSchedule> {
        let wrong = || NoSchedule::Field { field: self.name, text: text.to_owned() };
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let step_by = step.map_or(Some(1), whole).ok_or_else(wrong)?;
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.most),
                Some((from, to)) => (self.number(from).ok_or_else(wrong)?, self.number(to).ok_or_else(wrong)?),
                None => {
                    let from = self.number(range).ok_or_else(wrong)?;
                    (from, if step.is_some() { self.most } else { from })
                }
            };
            if step_by == 0 || from > to {
                return Err(wrong());
            }
            numbers.extend((from..=to).step_by(step_by as usize));
        }
        Ok(numbers)
    }

    /// Like `parse`, for a field of days, which may also use calendar terms: the last day, the nearest weekday, the
    /// second Monday. Fifth weekdays and the 31st are rejected, because not every month has them.
    fn parse_days(&self, text: &str) -> Result<Days, NoSchedule> {
        let plain = |day: &str| self.number(day).is_some();
        let is_of_calendar = if self.most == DAYS_OF_WEEK.most {
            if text == "L" {
                return Ok(Days::These(vec![self.most]));
            }
            let nth = |nth: &str| ["1", "2", "3", "4"].contains(&nth);
            text.strip_suffix('L').is_some_and(plain)
                || text.split_once('#').is_some_and(|(day, number)| plain(day) && nth(number))
        } else {
            text == "L" || text.strip_suffix('W').and_then(|day| self.number(day)).is_some_and(|day| day <= 28)
        };
        if is_of_calendar { Ok(Days::Monthly) } else { self.parse(text).map(Days::These) }
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(index) => self.least + u32::try_from(index).ok()?,
            None => whole(text)?,
        };
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> Result<u64, NoSchedule> {
        Rhythm::parse(text).map(|rhythm| rhythm.longest_gap.0 / DAY_MS)
    }

    #[test]
    fn the_longest_gap_is_told() {
        for (text, gap) in [
            ("cron(30 2 * * ? *)", 1),
            ("cron(0 6,18 * * ? *)", 1),
            ("cron(0/15 * * * ? *)", 1),
            ("cron(0 3 ? * MON-FRI *)", 3),
            ("cron(0 3 ? * sun *)", 7),
            ("cron(0 3 1,15 * ? *)", 17),
            ("cron(0 3 1 JAN,JUL ? *)", 184),
            ("cron(0 3 L * ? *)", 35),
            ("cron(0 3 ? * 2#1 *)", 35),
            ("cron(0 3 15W 1 ? *)", 366),
            ("cron(0 3 ? * L *)", 7),
            ("rate(1 day)", 1),
            ("rate(36 hours)", 1),
            ("rate(7 days)", 7),
        ] {
            assert_eq!(days(text), Ok(gap), "{text}");
        }
        assert_eq!(Rhythm::parse("rate(5 minutes)"), Ok(Rhythm { longest_gap: Millis(300_000) }));
    }

    #[test]
    fn what_never_happens_again_is_no_schedule() {
        assert_eq!(days("cron(0 3 30 2 ? *)"), Err(NoSchedule::Never));
        assert_eq!(days("cron(0 3 * * ? 2027)"), Err(NoSchedule::Years));
        assert_eq!(days("at(2027-01-01T00:00:00)"), Err(NoSchedule::Form));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (text, field) in [
            ("cron(60 2 * * ? *)", "minute"),
            ("cron(0 24 * * ? *)", "hour"),
            ("cron(0 2 0 * ? *)", "day of month"),
            ("cron(0 2 1 FOO ? *)", "month"),
            ("cron(0 2 ? * 8 *)", "day of week"),
            ("cron(0 5-2 * * ? *)", "hour"),
            ("cron(0/0 5 * * ? *)", "minute"),
            ("cron(0 2 ? * 2#5 *)", "day of week"),
            ("cron(0 2 31W * ? *)", "day of month"),
            ("cron(+5 2 * * ? *)", "minute"),
        ] {
            assert!(matches!(days(text), Err(NoSchedule::Field { field: named, .. }) if named == field), "{text}");
        }
        assert_eq!(days("cron(30 2 * * *)"), Err(NoSchedule::Fields));
        assert_eq!(days("cron(30 2 * * * *)"), Err(NoSchedule::Days));
        assert_eq!(days("cron(30 2 ? * ? *)"), Err(NoSchedule::Days));
        for wrong in ["rate(1 days)", "rate(2 day)", "rate(0 days)", "rate(5 weeks)", "rate(400 days)", "rate(+5 days)"]
        {
            assert_eq!(days(wrong), Err(NoSchedule::Rate), "{wrong}");
        }
    }
}
