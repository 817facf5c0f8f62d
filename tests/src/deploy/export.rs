//! Exporting days of samples: a different Iceberg writer puts rows into the table of samples, as Firehose would, and
//! the deployed binary of `export` exports them. The files are read with a different Parquet reader.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{ACCOUNT, EMULATOR_PORT, Failure, REGION, Test};
use crate::lambda_host::{LambdaHost, Outcome};

/// The number of microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Rows by device and time.
pub(super) type Rows = BTreeMap<(String, i64), Value>;

impl Test {
    /// Exports what `store` has stored, as if that had happened some days earlier.
    pub(super) async fn samples_are_exported(&mut self) -> Result<(), Failure> {
        self.transcript.part("days of samples exported, and taken out of their table");
        let stored = self.hot_rows()?;
        let recent = days_ago(&stored, 3);
        let old = days_ago(&stored, 40);
        self.append(&recent)?;
        // Delivered again, like a batch whose answer was lost.
        self.append(&recent)?;
        let mut export = self.function("ExportFunctionName", "ExportCodeKey").await?;
        let answer = asked(&mut export).await?;
        self.transcript.equal("every sample was exported once", &answer["samples"], recent.len());
        let exported = self.exported()?;
        self.transcript.equal("another reader finds the same samples", &exported, &recent);
        let again = asked(&mut export).await?;
        self.transcript.equal("nothing is exported twice", &again["exported"], 0);

        self.append(&old)?;
        let answer = asked(&mut export).await?;
        self.transcript.equal("older samples are exported too", &answer["samples"], old.len());
        self.transcript.equal("and leave the table", &answer["removed"], old.len());
        let left = self.iceberg(&["count"], "")?;
        let left: BTreeMap<String, usize> = serde_json::from_str(&left)?;
        let rows: usize = left.values().sum();
        self.transcript.equal("another reader finds the others there", rows, 2 * recent.len());
        let all: Rows = recent.into_iter().chain(old).collect();
        let exported = self.exported()?;
        self.transcript.equal("every sample is in its files", &exported, &all);
        self.samples_are_aggregated(&all)?;
        self.days_are_exported_by_hand()?;
        self.samples_are_asked_for(&all, &stored)
    }

    fn days_are_exported_by_hand(&mut self) -> Result<(), Failure> {
        let name = self.output("ExportFunctionName")?;
        let ran = self.command_on(&["export", "--from", "2026-01-01", "--to", "2026-01-02"], ["--function", &name])?;
        self.note(&ran);
        self.transcript.equal("days are exported by the command", ran.code, Some(0));
        self.transcript.check("which says what was done", ran.told.contains("exported 0 samples of 0 zone days"));
        Ok(())
    }

    pub(super) fn append(&mut self, rows: &Rows) -> Result<(), Failure> {
        let lines: Vec<String> = rows.values().map(Value::to_string).collect();
        self.iceberg(&["append"], &lines.join("\n"))?;
        Ok(())
    }

    /// The contents of the cold bucket, without the export number.
    fn exported(&self) -> Result<Rows, Failure> {
        let mut rows = self.parquet(&self.cold_files("samples")?)?;
        for row in rows.values_mut() {
            row.as_object_mut().and_then(|row| row.remove("export_number")).ok_or("a row without its export")?;
        }
        Ok(rows)
    }

    /// Copies the objects below a folder of the cold bucket.
    pub(super) fn cold_files(&self, below: &str) -> Result<Vec<String>, Failure> {
        let bucket = self.output("ColdBucketName")?;
        let folder = self.setup.work.join("cold").join(below);
        let source = format!("s3://{bucket}/{below}/");
        self.aws.call(&["s3", "sync", "--only-show-errors", &source, folder.as_str()])?;
        let mut files = Vec::new();
        for zone in folder.read_dir_utf8()? {
            for day in zone?.path().read_dir_utf8()? {
                for file in day?.path().read_dir_utf8()? {
                    files.push(file?.path().to_string());
                }
            }
        }
        Ok(files)
    }

    /// Reads the samples in Parquet files with the other reader.
    pub(super) fn parquet(&self, files: &[String]) -> Result<Rows, Failure> {
        self.parquet_rows(files)?.into_iter().map(|row| Ok((name(&row)?, row))).collect()
    }

    /// Reads the rows in any Parquet files with the other reader.
    pub(super) fn parquet_rows(&self, files: &[String]) -> Result<Vec<Value>, Failure> {
        let arguments: Vec<&str> = ["parquet"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let lines = run(&self.setup.iceberg, &arguments, "")?;
        Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn iceberg(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let catalog = format!("http://127.0.0.1:{EMULATOR_PORT}/iceberg");
        let bucket = self.output("TableBucketArn")?;
        run(&self.setup.iceberg, &[arguments, &[&catalog, &bucket, ACCOUNT, REGION]].concat(), input)
    }
}

/// Runs the other reader and writer.
fn run(python: &camino::Utf8Path, arguments: &[&str], input: &str) -> Result<String, Failure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/iceberg.py");
    let mut child =
        Command::new(python).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("iceberg.py {}: {}", arguments[0], output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

async fn asked(export: &mut LambdaHost) -> Result<Value, Failure> {
    match export.invoke(&json!({})).await? {
        Outcome::Returned(answer) => Ok(answer),
        other => Err(format!("export: {other:?}").into()),
    }
}

/// These rows, with all times moved some days back.
fn days_ago(rows: &Rows, days: i64) -> Rows {
    let earlier = |row: &Value| {
        let mut row = row.clone();
        for name in ["sampled_at", "ingested_at"] {
            row[name] = json!(row[name].as_i64().unwrap_or_default() - days * DAY_MICROS);
        }
        row
    };
    rows.iter().map(|((device, at), row)| ((device.clone(), at - days * DAY_MICROS), earlier(row))).collect()
}

fn name(row: &Value) -> Result<(String, i64), Failure> {
    let device = row["device_id"].as_str().ok_or("a row without a device")?.to_owned();
    Ok((device, row["sampled_at"].as_i64().ok_or("a row without a time")?))
}
