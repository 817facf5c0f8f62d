use std::fmt::{self, Write as _};

/// The most bytes of a message.
pub const MESSAGE_BYTES_MAX: usize = 131_072;

/// What the platform would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which part of the message.
    pub part: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` would be refused", self.part)
    }
}

impl std::error::Error for Invalid {}

/// JSON as it is written.
#[derive(Default)]
struct Writer {
    text: String,
    comma: bool,
    invalid: Option<Invalid>,
}

impl Writer {
    /// A key with its quotes and colon; nothing in front of an element of an array.
    fn key(&mut self, key: &str) {
        if self.comma {
            self.text.push(',');
        }
        self.text.push_str(key);
        self.comma = true;
    }

    fn open(&mut self, key: &str, bracket: char) {
        self.key(key);
        self.text.push(bracket);
        self.comma = false;
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.comma = true;
    }

    fn refuse(&mut self, part: &'static str) {
        self.invalid.get_or_insert(Invalid { part });
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => self.text.extend(['\\', character]),
                '\0'..='\u{1f}' => self.put(format_args!("\\u{:04x}", u32::from(character))),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    fn truth(&mut self, key: &str, value: bool) {
        self.key(key);
        self.put(format_args!("{value}"));
    }

    fn number(&mut self, key: &str, part: &'static str, value: f64, min: f64, max: f64) {
        self.key(key);
        if (min..=max).contains(&value) {
            self.put(format_args!("{value:?}"));
        } else {
            self.refuse(part);
        }
    }

    fn whole(&mut self, key: &str, part: &'static str, value: i64, min: f64, max: f64) {
        self.key(key);
        if (min..=max).contains(&(value as f64)) {
            self.put(format_args!("{value}"));
        } else {
            self.refuse(part);
        }
    }

    /// Times are milliseconds since 1970, UTC, up to the year 9999.
    fn is_time(&mut self, ms: i64) -> bool {
        let is_time = (0..=253_402_300_799_999).contains(&ms);
        if !is_time {
            self.refuse("timestamp_ms");
        }
        is_time
    }

    fn rfc3339(&mut self, key: &str, ms: i64) {
        self.key(key);
        if !self.is_time(ms) {
            return;
        }
        // Years begin in March here, so that a leap day is the last day of one.
        let (days, second) = (ms / 86_400_000 + 719_468, ms / 1_000 % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let year = era * 400 + year_of_era + i64::from(month >= 10);
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        self.put(format_args!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z\"", ms % 1_000));
    }

    fn epoch_s(&mut self, key: &str, ms: i64) {
        self.key(key);
        if self.is_time(ms) {
            self.put(format_args!("{}.{:03}", ms / 1_000, ms % 1_000));
        }
    }

    fn epoch_ms(&mut self, key: &str, ms: i64) {
        self.key(key);
        if self.is_time(ms) {
            self.put(format_args!("{ms}"));
        }
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes any text.
        let _ = self.text.write_fmt(text);
    }

    fn end(mut self) -> Result<String, Invalid> {
        if self.text.len() > MESSAGE_BYTES_MAX {
            self.refuse("the message's size");
        }
        match self.invalid {
            Some(invalid) => Err(invalid),
            None => Ok(self.text),
        }
    }
}

/// What a device says of itself on its status topic, which may be its will.
pub fn status(is_online: bool) -> &'static str {
    if is_online { "{\"status\":\"online\"}" } else { "{\"status\":\"offline\"}" }
}

/// An alarm that a device raises or ends. A code has 1 to 64 characters, none of them a control character.
pub fn alarm(code: &str, is_active: bool) -> Result<String, Invalid> {
    let mut writer = Writer::default();
    writer.open("", '{');
    writer.text("\"code\":", code);
    writer.truth("\"active\":", is_active);
    writer.close('}');
    if !(1..=64).contains(&code.chars().count()) || code.chars().any(char::is_control) {
        writer.refuse("code");
    }
    writer.end()
}
