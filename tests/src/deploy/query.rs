//! The command asks the deployed function `query` about samples in the hot table, in the table of samples and in
//! exported files, and runs the queries that the stack saves. The answers are compared with the input.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::{Value, json};

use super::{Failure, Test, alert::DEVICE, export::Rows};

/// The number of microseconds in an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

impl Test {
    /// Queries samples that are only in files, only in the table, in both, and in the hot table.
    pub(super) fn samples_are_asked_for(&mut self, exported: &Rows, newest: &Rows) -> Result<(), Failure> {
        self.transcript.part("samples asked for, wherever they are");
        self.transcript.check("some were exported", !exported.is_empty());
        let wanted = |rows: &Rows| -> Vec<(i64, Value)> {
            let of_device = rows.iter().filter(|((device, _), _)| device == DEVICE);
            of_device.map(|((_, at), row)| (*at, row["pressure"].clone())).collect()
        };
        let ask = ["query", "--device", DEVICE, "--metric", "pressure", "--format", "json"];
        let found = self.asked(&[&ask[..], &["--last", "2h"]].concat())?;
        self.transcript.equal("the newest are in the hot table", pressures(&found)?, wanted(newest));
        let all: Rows = exported.iter().chain(newest).map(|(name, row)| (name.clone(), row.clone())).collect();
        let found = self.asked(&[&ask[..], &["--last", "60d"]].concat())?;
        self.transcript.equal("older ones are in the table and in files, each once", pressures(&found)?, wanted(&all));

        let count = "SELECT zone, count(*) AS samples FROM samples GROUP BY zone ORDER BY zone";
        let found = self.asked(&["query", count, "--last", "60d", "--format", "json"])?;
        let mut zones: BTreeMap<&str, i64> = BTreeMap::new();
        exported.values().filter_map(|row| row["zone"].as_str()).for_each(|zone| *zones.entry(zone).or_default() += 1);
        let wanted: Vec<Value> =
            zones.iter().map(|(zone, samples)| json!({ "zone": zone, "samples": samples })).collect();
        self.transcript.equal("SQL is about samples, not about rows", found, wanted);
        let refused = self.command_on(&["query", "SELECT presure FROM samples"], self.query_function()?.each())?;
        self.note(&refused);
        self.transcript.equal("a wrong question ends the command", refused.code, Some(1));
        self.transcript.check("and says what is wrong", refused.told.contains("presure"));
        self.as_parquet(exported)?;
        self.saved_questions(newest)
    }

    /// The output of the command, as JSON.
    pub(super) fn asked(&mut self, words: &[&str]) -> Result<Vec<Value>, Failure> {
        let ran = self.command_on(words, self.query_function()?.each())?;
        self.transcript.note(format!("| {}", ran.told.trim_end()));
        self.transcript.equal(&format!("fleetform {}", words.join(" ")), ran.code, Some(0));
        Ok(serde_json::from_str(&ran.printed)?)
    }

    fn query_function(&self) -> Result<Named, Failure> {
        Ok(Named("--function", self.output("QueryFunctionName")?))
    }

    fn as_parquet(&mut self, exported: &Rows) -> Result<(), Failure> {
        let file = self.setup.work.join("asked.parquet");
        let words =
            ["query", "SELECT * FROM samples", "--last", "60d", "--format", "parquet", "--output", file.as_str()];
        let ran = self.command_on(&words, self.query_function()?.each())?;
        self.transcript.equal("samples are written as Parquet", ran.code, Some(0));
        let found = self.parquet(&[file.to_string()])?;
        self.transcript.equal("which another reader finds to be the same", &found, exported);
        Ok(())
    }

    /// The saved queries in the console, compared with results that are computed by other means.
    fn saved_questions(&mut self, newest: &Rows) -> Result<(), Failure> {
        self.append(newest)?;
        let workgroup = self.output("WorkgroupName")?;
        let ids = self.aws.call(&["athena", "list-named-queries", "--work-group", &workgroup])?;
        let mut questions = BTreeMap::new();
        for id in ids["NamedQueryIds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let named = self.aws.call(&["athena", "get-named-query", "--named-query-id", id])?["NamedQuery"].take();
            let text = |name: &str| named[name].as_str().unwrap_or_default().to_owned();
            questions.insert(text("Name"), text("QueryString"));
        }
        self.transcript.equal("saved questions", questions.keys().collect::<Vec<_>>(), ["hourly", "rolling-hour"]);
        let rows: Vec<(&str, i64, f64)> = newest
            .iter()
            .filter(|(_, row)| row["zone"] == "zone-a")
            .filter_map(|((device, at), row)| Some((device.as_str(), *at, row["pressure"].as_f64()?)))
            .collect();
        let found = self.athena(&workgroup, &questions["hourly"])?;
        let mut hours: BTreeMap<(i64, &str), Vec<f64>> = BTreeMap::new();
        rows.iter().for_each(|(device, at, value)| {
            hours.entry((-at.div_euclid(HOUR_MICROS), device)).or_default().push(*value);
        });
        let wanted: Vec<String> = hours
            .iter()
            .map(|((_, device), values)| {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                format!("{device} {mean:.6} {:.6}", values.iter().copied().fold(f64::MIN, f64::max))
            })
            .collect();
        let said = said(&found, &["pressure_avg", "pressure_max"]);
        self.transcript.equal("mean and maximum by device and hour", said, wanted);

        let found = self.athena(&workgroup, &questions["rolling-hour"])?;
        let mut newest_first = rows.clone();
        newest_first.sort_by(|a, b| (a.0, -a.1).cmp(&(b.0, -b.1)));
        let wanted: Vec<String> = newest_first
            .iter()
            .map(|(device, at, value)| {
                let hour = rows.iter().filter(|row| row.0 == *device && (at - HOUR_MICROS..=*at).contains(&row.1));
                let values: Vec<f64> = hour.map(|row| row.2).collect();
                format!("{device} {value:.6} {:.6}", values.iter().sum::<f64>() / values.len() as f64)
            })
            .collect();
        self.transcript.equal(
            "values with the mean of their hour",
            self::said(&found, &["pressure", "pressure_hour_avg"]),
            wanted,
        );
        Ok(())
    }

    /// Athena's answer, as rows by column name.
    fn athena(&self, workgroup: &str, question: &str) -> Result<Vec<BTreeMap<String, String>>, Failure> {
        let start = ["athena", "start-query-execution", "--work-group", workgroup, "--query-string", question];
        let started = self.aws.call(&start)?;
        let id = started["QueryExecutionId"].as_str().ok_or("no query")?;
        loop {
            let state = self.aws.call(&["athena", "get-query-execution", "--query-execution-id", id])?;
            let status = &state["QueryExecution"]["Status"];
            match status["State"].as_str() {
                Some("QUEUED" | "RUNNING") => thread::sleep(Duration::from_millis(200)),
                Some("SUCCEEDED") => break,
                _ => return Err(format!("Athena: {status}").into()),
            }
        }
        let results = self.aws.call(&["athena", "get-query-results", "--query-execution-id", id])?;
        let mut lines = results["ResultSet"]["Rows"].as_array().into_iter().flatten().map(|row| {
            let data = row["Data"].as_array().into_iter().flatten();
            data.map(|datum| datum["VarCharValue"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        });
        let names = lines.next().unwrap_or_default();
        Ok(lines.map(|line| names.iter().cloned().zip(line).collect()).collect())
    }
}

/// An option and its value.
struct Named(&'static str, String);

impl Named {
    fn each(&self) -> [&str; 2] {
        [self.0, &self.1]
    }
}

/// Times in microseconds, and pressures, from the command's output.
fn pressures(found: &[Value]) -> Result<Vec<(i64, Value)>, Failure> {
    let row = |row: &Value| {
        let at = row["sampled_at"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        Some((at.as_microsecond(), row["pressure"].clone()))
    };
    found.iter().map(row).collect::<Option<_>>().ok_or_else(|| "a row without a time".into())
}

/// Devices with two numbers, in the order of the rows; rows without these numbers are left out.
fn said(found: &[BTreeMap<String, String>], names: &[&str; 2]) -> Vec<String> {
    let line = |row: &BTreeMap<String, String>| {
        let number = |name: &str| row.get(name)?.parse::<f64>().ok();
        Some(format!("{} {:.6} {:.6}", row.get("device_id")?, number(names[0])?, number(names[1])?))
    };
    found.iter().filter_map(line).collect()
}
