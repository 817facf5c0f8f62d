//! Estimates how often an anomaly rule fires by chance if values are normally distributed. Real values have heavier
//! tails, so the estimate is a lower bound of what users will see.

use fleetform_engine::{
    ids::ZoneId,
    rule_set::Direction,
    units::{Finite, Millis},
};

use super::{raw::RawRule, subject::Subject};
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::device_type::DeviceType,
};

/// Maximum acceptable number of false alerts per day over all devices of a rule; with more than this, alerts are soon
/// ignored.
const FALSE_ALERTS_A_DAY_MAX: f64 = 1.0;
/// The assumed number of devices of a type for which the file gives no count.
const DEVICES_ASSUMED: u64 = 100;
/// The largest number of consecutive anomalous samples that is tried for the help text.
const CONSECUTIVE_TRIED_MAX: u32 = 10;
const DAY: Millis = Millis::from_secs(86_400);

/// Warns of a rule that raises too many false alerts.
pub(super) fn check(
    raw: &RawRule,
    subject: &Subject<'_, '_>,
    sensitivity: Finite,
    min_consecutive: u32,
    direction: Direction,
) {
    if raw.enabled == Some(false) || raw.shadow == Some(true) {
        return;
    }
    let types = || subject.timed().map(|(_, device_type)| device_type);
    let a_day = |consecutive: u32| -> f64 {
        let duration = raw.duration.map_or(Millis(0), |duration| duration.0);
        types()
            .map(|device_type| {
                // A duration waits for more consecutive samples: it must elapse between the first and the last of them.
                let lasting = duration.0.div_ceil(device_type.report_every.0.max(1)) + 1;
                let consecutive = u64::from(consecutive).max(lasting);
                samples_a_day(device_type, subject) * libm::pow(chance(sensitivity, direction), consecutive as f64)
            })
            .sum()
    };
    let estimate = a_day(min_consecutive);
    if estimate <= FALSE_ALERTS_A_DAY_MAX {
        return;
    }
    let context = subject.context;
    let assumed = if types().any(|device_type| device_type.count.is_empty()) {
        format!(" (a device type without `count` is taken to have {DEVICES_ASSUMED} devices)")
    } else {
        String::new()
    };
    let message = format!(
        "rule `{}` would raise about {} false alerts a day by chance alone{assumed}",
        subject.id,
        about(estimate)
    );
    let sensitivity_at = subject.at.key("sensitivity");
    let consecutive_at = subject.at.key("min_consecutive");
    let mut diagnostic = Diagnostic::new(Code::FalseAlerts, context.value(&sensitivity_at), message);
    if context.is_written(&consecutive_at) {
        diagnostic = diagnostic.related(context.value(&consecutive_at), "so many samples in a row are enough");
    }
    let enough = (min_consecutive + 1..=CONSECUTIVE_TRIED_MAX)
        .map(|consecutive| (consecutive, a_day(consecutive)))
        .find(|(_, estimate)| *estimate <= FALSE_ALERTS_A_DAY_MAX);
    context.report(diagnostic.help(match enough {
        Some((consecutive, estimate)) => {
            format!("write: min_consecutive = {consecutive} (about {} a day), or raise `sensitivity`", about(estimate))
        }
        None => "raise `sensitivity`".to_owned(),
    }));
}

/// The number of samples per day from all devices of a type in the rule's zones.
fn samples_a_day(device_type: &DeviceType, subject: &Subject<'_, '_>) -> f64 {
    let covered = |zone: &ZoneId| subject.zones.is_empty() || subject.zones.contains(zone);
    let counted = device_type.count.iter().filter(|(zone, _)| covered(zone)).map(|(_, count)| u64::from(*count)).sum();
    let devices: u64 = if device_type.count.is_empty() { DEVICES_ASSUMED } else { counted };
    devices as f64 * DAY.0 as f64 / device_type.report_every.0.max(1) as f64
}

/// The probability that a sample of a normal distribution lies this many deviations from the mean.
fn chance(sensitivity: Finite, direction: Direction) -> f64 {
    let both = libm::erfc(sensitivity.get() / std::f64::consts::SQRT_2);
    match direction {
        Direction::Both => both,
        Direction::Up | Direction::Down => both / 2.0,
    }
}

/// Formats a number with two significant digits, for readers.
fn about(number: f64) -> String {
    if number < 0.01 {
        return "0.01 or less".to_owned();
    }
    // From hundredths to billions; the warning never contains other values.
    let mut step = 0.001;
    while step * 100.0 <= number {
        step *= 10.0;
    }
    let rounded = (number / step).round() * step;
    if rounded < 10.0 {
        let text = format!("{rounded:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{rounded:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_devices_at_three_deviations_raise_seventy_eight_thousand_a_day() {
        let samples = 10_000.0 * 2_880.0;
        let sensitivity = Finite::new(3.0).expect("a finite number");
        assert_eq!(about(samples * chance(sensitivity, Direction::Both)), "78,000");
        assert_eq!(about(samples * chance(sensitivity, Direction::Up)), "39,000");
        assert_eq!(about(samples * libm::pow(chance(sensitivity, Direction::Both), 3.0)), "0.57");
    }

    #[test]
    fn numbers_are_told_in_two_digits() {
        let told = [0.0001, 0.0123, 0.5, 1.26, 9.99, 12.3, 104.0, 77_760.0, 1_234_567.0].map(about);
        assert_eq!(told, ["0.01 or less", "0.012", "0.5", "1.3", "10", "12", "100", "78,000", "1,200,000"]);
    }
}
