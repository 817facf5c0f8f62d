//! Hourly aggregates of exported samples: files from the deployed binary of `export`, read with a different Parquet
//! reader, and the same data queried by the command. Both are compared with aggregates that are computed here from the
//! input.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Failure, Test, export::Rows};

/// The number of microseconds in an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// The columns of every row that are not readings.
const FIXED: [&str; 7] = ["device_id", "sampled_at", "ingested_at", "zone", "device_type", "record", "other_readings"];

/// Zone, device, start of the hour in microseconds, and reading.
type Name = (String, String, i64, String);

/// Count, minimum, maximum, mean and last value, as text.
type Said = BTreeMap<Name, String>;

impl Test {
    /// Reads the files with aggregates, and queries them.
    pub(super) fn samples_are_aggregated(&mut self, samples: &Rows) -> Result<(), Failure> {
        self.transcript.part("what samples come to by the hour");
        let wanted = by_hour(samples)?;
        self.transcript.check("they have readings", !wanted.is_empty());
        let mut found = Said::new();
        for row in self.parquet_rows(&self.cold_files("aggregates")?)? {
            let number = |name: &str| row[name].as_f64().ok_or_else(|| format!("no `{name}` in {row}"));
            let start = row["interval_start"].as_i64().ok_or("an aggregate without its interval")?;
            let mean = number("sum")? / number("count")?;
            let values = [number("count")?, number("minimum")?, number("maximum")?, mean, number("last")?];
            let twice = found.insert(name(&row, start)?, in_words(values));
            self.transcript.check("each is there once", twice.is_none());
        }
        self.transcript.equal("another reader finds what is computed here", &found, &wanted);

        let ask = ["query", "SELECT * FROM aggregates WHERE \"count\" > 0", "--last", "60d", "--format", "json"];
        let mut asked = Said::new();
        for row in self.asked(&ask)? {
            let number = |name: &str| row[name].as_f64().ok_or_else(|| format!("no `{name}` in {row}"));
            let start = row["interval_start"].as_str().ok_or("an aggregate without its interval")?;
            let start = start.parse::<jiff::Timestamp>()?.as_microsecond();
            let values = [number("count")?, number("minimum")?, number("maximum")?, number("mean")?, number("last")?];
            asked.insert(name(&row, start)?, in_words(values));
        }
        self.transcript.equal("and so does who asks for it", &asked, &wanted);
        let ask =
            "SELECT zone, count(*) AS hours FROM aggregates WHERE reading = 'pressure' GROUP BY zone ORDER BY zone";
        let found = self.asked(&["query", ask, "--last", "60d", "--format", "json"])?;
        let mut zones: BTreeMap<&str, u64> = BTreeMap::new();
        wanted.keys().filter(|name| name.3 == "pressure").for_each(|name| *zones.entry(&name.0).or_default() += 1);
        let found: BTreeMap<&str, u64> =
            found.iter().filter_map(|row| Some((row["zone"].as_str()?, row["hours"].as_u64()?))).collect();
        self.transcript.equal("SQL is about aggregates as well", found, zones);
        Ok(())
    }
}

fn name(row: &Value, start: i64) -> Result<Name, Failure> {
    let text = |name: &str| row[name].as_str().map(str::to_owned).ok_or_else(|| format!("no `{name}` in {row}"));
    Ok((text("zone")?, text("device_id")?, start, text("reading")?))
}

fn in_words([count, minimum, maximum, mean, last]: [f64; 5]) -> String {
    format!("{count} {minimum} {maximum} {mean:.9} {last}")
}

/// The aggregates of these samples.
fn by_hour(samples: &Rows) -> Result<Said, Failure> {
    let mut values: BTreeMap<Name, Vec<f64>> = BTreeMap::new();
    for ((device, at), row) in samples {
        let zone = row["zone"].as_str().ok_or("a row without a zone")?;
        let own = row.as_object().into_iter().flatten().filter(|(name, _)| !FIXED.contains(&name.as_str()));
        for (reading, value) in own {
            let value = match value {
                Value::Bool(truth) => f64::from(u8::from(*truth)),
                value => match value.as_f64() {
                    Some(number) => number,
                    None => continue,
                },
            };
            let start = at.div_euclid(HOUR_MICROS) * HOUR_MICROS;
            values.entry((zone.to_owned(), device.clone(), start, reading.clone())).or_default().push(value);
        }
    }
    let said = |values: Vec<f64>| {
        let count = values.len() as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = values.last().copied().unwrap_or_default();
        in_words([count, least, most, values.iter().sum::<f64>() / count, last])
    };
    Ok(values.into_iter().map(|(name, values)| (name, said(values))).collect())
}
