//! The text of a notice for each channel. It depends only on the rule set and the notice, so the same notice sent again
//! reads the same.

use std::fmt::Write as _;

use fleetform_engine::{
    effect::{Alert, AlertState, Evidence, NoticeKind, Notification, Observed, ResolveReason},
    rule_set::{Condition, FleetLimit, Rule, RuleSet},
    units::{Finite, Millis, Timestamp},
};
use jiff::tz::TimeZone;

/// Maximum septets of a text message's body. One message has room for 160; the rest is for what a carrier adds.
pub const SMS_SEPTETS_MAX: usize = 140;
/// Maximum characters of an e-mail's subject (SNS, parameter `Subject`: under 100 characters).
pub const SUBJECT_CHARACTERS_MAX: usize = 99;

/// The summary of a firing alert whose rule has no `summary`.
const DEFAULT_SUMMARY: &str = "{device} in {zone}: {metric} is {value}";

/// A notice as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One sentence: the rule's summary with its placeholders filled, or that the alert ended.
    pub summary: String,
    /// The text message: a single part, with only characters that every phone supports.
    pub sms: String,
    /// The subject of the e-mail: printable ASCII, on one line.
    pub subject: String,
    /// The body of the e-mail.
    pub email: String,
}

/// Formats a notice for all channels.
pub fn message(rules: &RuleSet, notification: &Notification) -> Message {
    let alert = &notification.alert;
    let rule = rules.rules.get(&alert.rule);
    let words = Words::new(rules, rule, alert);
    let (tag, summary) = match notification.kind {
        NoticeKind::Firing => {
            let template = rule.and_then(|rule| rule.summary.as_deref()).unwrap_or(DEFAULT_SUMMARY);
            (alert.severity.as_str().to_uppercase(), words.fill(template))
        }
        NoticeKind::Repeat => {
            let template = rule.and_then(|rule| rule.summary.as_deref()).unwrap_or(DEFAULT_SUMMARY);
            (alert.severity.as_str().to_uppercase(), format!("still: {}", words.fill(template)))
        }
        NoticeKind::Flapping => (
            alert.severity.as_str().to_uppercase(),
            format!("{} on {} in {} flaps: no more is sent until it is stable", alert.rule, words.subject, words.zone),
        ),
        NoticeKind::Resolved => {
            let why = match alert.state {
                AlertState::Resolved { reason } => ended(reason),
                AlertState::Firing => "it is over",
            };
            ("OK".to_owned(), format!("{} on {} in {} ended: {why}", alert.rule, words.subject, words.zone))
        }
    };
    let held_back = match notification.suppressed {
        0 => String::new(),
        1 => " (1 earlier firing held back)".to_owned(),
        n => format!(" ({n} earlier firings held back)"),
    };
    let subject = format!("[{tag}] {}: {} in {}", alert.rule, words.subject, words.zone);
    Message {
        sms: gsm(&format!("[{tag}] {summary}{held_back}"), SMS_SEPTETS_MAX),
        subject: ascii_line(&subject, SUBJECT_CHARACTERS_MAX),
        email: email(rules, rule, notification, &words, &summary),
        summary,
    }
}

fn ended(reason: ResolveReason) -> &'static str {
    match reason {
        ResolveReason::Cleared => "the value is good again",
        ResolveReason::RuleChanged => "the rule was changed",
        ResolveReason::RuleRemoved => "the rule no longer applies",
        ResolveReason::DeviceRetired => "the device was retired",
        ResolveReason::Overridden => "the rule was overridden",
    }
}

fn email(
    rules: &RuleSet,
    rule: Option<&Rule>,
    notification: &Notification,
    words: &Words<'_>,
    summary: &str,
) -> String {
    let alert = &notification.alert;
    let mut text = format!("{summary}\n\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("Rule", alert.rule.as_str());
    line("Severity", alert.severity.as_str());
    if let (Some(device), Some(device_type)) = (&alert.device, &alert.device_type) {
        line("Device", &format!("{device} ({device_type})"));
    }
    line("Zone", &format!("{} ({})", words.zone, alert.zone));
    match &alert.metric {
        Some(metric) => line("Value", &format!("{metric} {}{}", words.value, words.unit)),
        None => line("Value", &format!("{}{}", words.value, words.unit)),
    }
    line("Limit", &format!("{}{}", alert.limit, words.limit_unit));
    if let Some(evidence) = &alert.evidence {
        let (name, value) = explained(evidence, words);
        line(name, &value);
    }
    line("Since", &words.since);
    if notification.kind == NoticeKind::Resolved {
        line("Ended", &moment(alert.at, words.timezone));
    }
    if notification.suppressed > 0 {
        line(
            "Held back",
            &format!("{} firings of this rule on this device since the last notice", notification.suppressed),
        );
    }
    if let Some(rule) = rule {
        for (name, value) in [("Runbook", &rule.runbook), ("Owner", &rule.owner)] {
            if let Some(value) = value {
                line(name, value);
            }
        }
    }
    let _ = write!(text, "\nSent by {} ({}), notice {}\n", rules.platform, rules.environment, notification.id);
    text
}

/// The evidence for an alert's value, with its label.
fn explained(evidence: &Evidence, words: &Words<'_>) -> (&'static str, String) {
    match evidence {
        Evidence::Anomaly { mean, sigma, score, n } => {
            let unit = &words.unit;
            let (mean, sigma, score) = (rounded(*mean), rounded(*sigma), rounded(*score));
            ("Expected", format!("{mean}{unit}, deviation {sigma}{unit}, score {score}, from {n} samples"))
        }
        Evidence::Fleet { devices, registered } => ("Devices", format!("{devices} of {registered}")),
        Evidence::Count { samples } => ("Counted", format!("{samples} samples")),
        Evidence::Alarm { code } => ("Alarm", code.to_string()),
        Evidence::Silence { last_ingest } => ("Last heard", moment(*last_ingest, words.timezone)),
    }
}

/// The values of the placeholders that a summary may use.
struct Words<'a> {
    alert: &'a Alert,
    /// The device, or the fleet in a zone.
    subject: &'a str,
    zone: &'a str,
    timezone: &'a str,
    value: String,
    /// The unit of the value, with a leading space; empty if it has none.
    unit: String,
    /// The unit of the limit, which may differ from that of the value.
    limit_unit: String,
    since: String,
}

impl<'a> Words<'a> {
    fn new(rules: &'a RuleSet, rule: Option<&Rule>, alert: &'a Alert) -> Self {
        let zone = rules.zones.get(&alert.zone);
        let timezone = zone.map_or("UTC", |zone| zone.timezone.as_str());
        let reading = rules.reading_of(alert);
        let mut unit = match reading.map_or("", |reading| reading.unit.as_str()) {
            "" => String::new(),
            unit => format!(" {}", spoken(unit)),
        };
        if let Some(Condition::RateOfChange { per_ms, .. }) = rule.map(|rule| &rule.condition) {
            let _ = write!(unit, " in {}", length(*per_ms));
        }
        if let Some(Condition::Fleet { threshold, .. }) = rule.map(|rule| &rule.condition) {
            unit.push_str(match threshold {
                FleetLimit::Devices(_) => " devices",
                FleetLimit::Percent(_) => " % of devices",
            });
        }
        // Deviations and counts of samples lack the value's unit, and the limit of a fleet already has its own.
        let counts = matches!(
            rule.map(|rule| &rule.condition),
            Some(Condition::Anomaly { .. } | Condition::Count { .. } | Condition::Fleet { .. })
        );
        Self {
            alert,
            subject: alert.device.as_ref().map_or("the fleet", |device| device.as_str()),
            zone: zone.map_or(alert.zone.as_str(), |zone| zone.title.as_str()),
            timezone,
            value: value(&alert.value),
            limit_unit: if counts { String::new() } else { unit.clone() },
            unit,
            since: moment(alert.since, timezone),
        }
    }

    /// Fills a summary's placeholders. Unknown ones stay unchanged: the brace may be intended.
    fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let gap = from.find('}').and_then(|close| Some((self.word(&from[1..close])?, close)));
            match gap {
                Some((word, close)) => {
                    filled.push_str(&word);
                    rest = &from[close + 1..];
                }
                None => {
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    fn word(&self, name: &str) -> Option<String> {
        Some(match name {
            "device" => self.subject.to_owned(),
            "zone" => self.zone.to_owned(),
            "value" => self.value.clone(),
            "threshold" => self.alert.limit.trim_start_matches(['<', '>', '=', '!', ' ']).to_owned(),
            "duration" => length(self.alert.duration_ms),
            "metric" => {
                self.alert.metric.as_ref().map_or(self.alert.rule.as_str(), |metric| metric.as_str()).to_owned()
            }
            "severity" => self.alert.severity.to_string(),
            "rule" => self.alert.rule.to_string(),
            "since" => self.since.clone(),
            _ => return None,
        })
    }
}

/// A value formatted for people.
fn value(value: &Observed) -> String {
    match value {
        Observed::Number(number) => rounded(*number),
        Observed::Bool(truth) => truth.to_string(),
        Observed::Word(word) => word.to_string(),
    }
}

/// A number with at most three decimals, unless it is too small for them.
fn rounded(number: Finite) -> String {
    if number.get().abs() < 0.001 {
        return number.to_string();
    }
    let text = format!("{:.3}", number.get());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A unit as people write it: UCUM puts customary units in brackets, and abbreviates degrees.
fn spoken(unit: &str) -> &str {
    match unit {
        "Cel" => "°C",
        "[degF]" => "°F",
        _ => unit.trim_matches(['[', ']']),
    }
}

/// A duration in the notation of the platform file, as in `1h30m`.
fn length(length: Millis) -> String {
    let mut left = length.0;
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= size {
            let _ = write!(text, "{}{unit}", left / size);
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A point in time in local time.
fn moment(at: Timestamp, timezone: &str) -> String {
    let timezone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(at) => at.to_zoned(timezone).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => at.0.to_string(),
    }
}

/// Printable ASCII on one line, as SNS requires for a subject.
fn ascii_line(text: &str, characters_max: usize) -> String {
    let plain: String =
        text.chars().map(|c| if matches!(c, ' '..='~') { c } else { plain(c).unwrap_or('?') }).collect();
    match plain.char_indices().nth(characters_max) {
        None => plain,
        Some(_) => format!("{}...", &plain[..characters_max - 3]),
    }
}

/// The characters of the GSM 7-bit alphabet beyond ASCII's letters and digits (3GPP TS 23.038, section 6.2.1).
const GSM_BASIC: &str = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\n";
/// Characters that take two septets.
const GSM_EXTENDED: &str = "^{}\\[~]|€";

/// A text that every phone can display, truncated to a number of septets. Without this, a single `°` would turn the
/// whole message into UCS-2, of which 70 characters fit into a part.
fn gsm(text: &str, septets_max: usize) -> String {
    let letters: Vec<(char, usize)> = text
        .chars()
        .map(|c| match c {
            _ if c.is_ascii_alphanumeric() || GSM_BASIC.contains(c) => (c, 1),
            _ if GSM_EXTENDED.contains(c) => (c, 2),
            _ => (plain(c).unwrap_or('?'), 1),
        })
        .collect();
    if letters.iter().map(|(_, septets)| septets).sum::<usize>() <= septets_max {
        return letters.into_iter().map(|(c, _)| c).collect();
    }
    let mut left = septets_max - 3;
    let mut cut: String = letters
        .into_iter()
        .take_while(|(_, septets)| left.checked_sub(*septets).inspect(|rest| left = *rest).is_some())
        .map(|(c, _)| c)
        .collect();
    cut.push_str("...");
    cut
}

/// The closest plain character for those that editors tend to put into prose.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '\u{2018}' | '\u{2019}' | '`' => '\'',
        '\u{201c}' | '\u{201d}' | '«' | '»' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '·' | '•' | '…' => '.',
        '×' => 'x',
        '\t' | '\n' | '\r' | '\u{a0}' | '\u{2009}' | '\u{202f}' => ' ',
        '°' => 'o',
        'µ' => 'u',
        'á' | 'â' | 'ã' => 'a',
        'ê' | 'ë' => 'e',
        'í' | 'î' | 'ï' => 'i',
        'ó' | 'ô' | 'õ' => 'o',
        'ú' | 'û' => 'u',
        'ç' => 'c',
        _ => return None,
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
