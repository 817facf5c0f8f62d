//! Exports days of a table of Timestream as the same files as those of the Iceberg table.
//!
//! With `UNLOAD`, Timestream writes its rows of a day into a folder of the cold bucket. From there, the day is exported
//! like any other: the samples that are new or changed since earlier exports go into objects, and a manifest is written
//! last. Then the folder is emptied.
//!
//! In Timestream, a row is only ever replaced by one whose message came later. So for each day, the sum over the
//! arrival times of its rows grows with every change, and shows whether there is anything to export. Rows are removed
//! by the service's own retention, on its own schedule.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use fleetform_engine::{
    drive::PortError,
    rows::{
        columns::{Column, FIXED, INGESTED_AT, SAMPLED_AT, ZONE},
        sql::{self, timestream as dialect},
    },
    units::{Millis, Timestamp},
};
use serde::Deserialize;

use super::{Cold, ExportError, Exporter, Exports, Files, Report, manifest::Manifest};
use crate::{
    frame::Field,
    iceberg::{
        files::DataFile,
        snapshot::{Day, Partition},
    },
    results::Page,
    timestream::{self, Metered, Queries},
};

/// How often a failing page is requested; each pause between attempts is longer than the last by a fixed step.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);
/// The wait before a query without results so far is polled again.
const POLL: Duration = Duration::from_secs(1);
/// The approximate size of the files that Timestream writes; each is held in memory as a whole.
const FILE_SIZE: &str = "128MB";

/// Exports from Timestream. The table's namespace is the database.
#[derive(Debug)]
pub struct TimestreamExporter<Q, F, K> {
    /// The queries, and the storage for files and exports.
    pub exporter: Exporter<Q, F, K>,
    /// The name of the bucket into which Timestream writes its rows, and from which they are read.
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the bucket.
    pub key_arn: String,
}

/// The table's contents of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// A sum that grows with every new row, and with every row that replaces another.
    sum: i64,
}

impl<Q: Queries + Send, F: Files + Send, K: Cold + Send> Exports for TimestreamExporter<Q, F, K> {
    async fn run(
        &self,
        days: &RangeInclusive<Day>,
        clock: fn() -> Timestamp,
        has_time: impl Fn() -> bool,
    ) -> Result<Report, ExportError> {
        let mut report = Report::default();
        let now = clock();
        let Some(due) = self.due(days, now) else { return Ok(report) };
        let columns = self.columns(&has_time).await?;
        if !columns.iter().any(|column| column.name == INGESTED_AT) {
            // A table that has never had a row has no such columns.
            return Ok(report);
        }
        let fields = fields(&columns)?;
        for (partition, told) in self.parts(&due, &has_time).await? {
            if !has_time() {
                report.left.push(partition);
                continue;
            }
            let Partition { zone, day } = &partition;
            // Boxed: the compiler does not lay out a future this deep within another.
            match Box::pin(self.export(&partition, told, (&columns, &fields), now, &has_time)).await {
                Ok(None) => report.unchanged += 1,
                Ok(Some(manifest)) => {
                    let samples = manifest.samples();
                    report.bytes += manifest.all_objects().map(|object| object.bytes).sum::<u64>();
                    tracing::info!(%zone, %day, samples, "exported");
                    report.exported.push((partition, samples));
                }
                Err(error) => {
                    tracing::warn!(%zone, %day, reason = %error, "not exported");
                    report.failed.push((partition, error));
                }
            }
        }
        Ok(report)
    }
}

impl<Q: Queries, F: Files, K: Cold> TimestreamExporter<Q, F, K> {
    /// The days that are over, whose late samples have had their time, and from which Timestream has not deleted
    /// anything yet.
    fn due(&self, days: &RangeInclusive<Day>, now: Timestamp) -> Option<RangeInclusive<Day>> {
        let whole_since = now.before(self.exporter.keep);
        let first = match Day::of(whole_since) {
            day if day.begin() == whole_since => day,
            day => Day(day.0.saturating_add(1)),
        };
        let last = Day(Day::of(now.before(self.exporter.after)).0.saturating_sub(1));
        let due = first.max(*days.start())..=last.min(*days.end());
        (due.start() <= due.end()).then_some(due)
    }

    /// The table's columns of samples.
    async fn columns(&self, has_time: &impl Fn() -> bool) -> Result<Vec<Column>, ExportError> {
        let table = &self.exporter.table;
        let rows = self.query(&timestream::describe(&table.namespace, &table.table), has_time).await?;
        Ok(timestream::columns(rows))
    }

    /// The table's contents of these days, by zone and day.
    async fn parts(
        &self,
        days: &RangeInclusive<Day>,
        has_time: &impl Fn() -> bool,
    ) -> Result<BTreeMap<Partition, Told>, ExportError> {
        let (day, day_ms) = ("to_milliseconds(bin(time, 1d))", Millis::from_days(1).0);
        // One day is added, so that each row counts, even from a clock that is ahead.
        let statement = format!(
            "SELECT \"{ZONE}\", {day} AS day, sum(\"{INGESTED_AT}\" - {day} + {day_ms}) AS told FROM {} WHERE {} \
             GROUP BY \"{ZONE}\", bin(time, 1d)",
            self.table(),
            between(*days.start(), *days.end())
        );
        let rows = self.query(&statement, has_time).await?;
        let part = |row: &Vec<Option<String>>| {
            let [zone, day, told] = row.as_slice() else { return None };
            let day = Day::of(Timestamp(day.as_deref()?.parse().ok()?));
            let sum = told.as_deref()?.parse().ok()?;
            Some((Partition { zone: zone.as_deref()?.into(), day }, Told { sum }))
        };
        let strange = || PortError(format!("Query: it does not say what the table has: {statement}"));
        let parts = rows.iter().map(|row| part(row).ok_or_else(strange)).collect::<Result<_, _>>();
        Ok(parts?)
    }

    /// Exports a partition, unless all of its rows in the table are exported.
    async fn export(
        &self,
        partition: &Partition,
        told: Told,
        (columns, fields): (&[Column], &[Field]),
        now: Timestamp,
        has_time: &impl Fn() -> bool,
    ) -> Result<Option<Manifest>, ExportError> {
        let earlier = self.exporter.earlier(partition).await?;
        let staging = self.staging(partition);
        // Removes the leftovers of an interrupted run.
        self.empty(&staging).await?;
        let lacks = self.exporter.lacks_aggregates(&earlier, partition.day, now);
        if earlier.last().is_some_and(|last| last.sequence_number >= told.sum && !lacks) {
            return Ok(None);
        }
        let folder = format!("{staging}{}/", now.0);
        let files = self.unload(partition, columns, &folder, has_time).await?;
        if files.iter().all(|file| file.rows == 0) {
            // All of its rows have expired meanwhile. A manifest for no rows would mean that they were removed.
            self.empty(&staging).await?;
            return Ok(None);
        }
        let every_s = self.exporter.every_s(&earlier, partition.day, now);
        let manifest = self.exporter.publish(partition, told.sum, &files, earlier, fields, every_s).await?;
        self.empty(&staging).await?;
        Ok(manifest)
    }

    /// Makes Timestream write all of its rows of a partition, and returns the files.
    async fn unload(
        &self,
        partition: &Partition,
        columns: &[Column],
        folder: &str,
        has_time: &impl Fn() -> bool,
    ) -> Result<Vec<DataFile>, ExportError> {
        let selected = columns.iter().map(|Column { name, .. }| match name.as_str() {
            INGESTED_AT => format!("\"{name}\" * 1000 AS \"{name}\""),
            name => format!("\"{name}\""),
        });
        let selected: Vec<String> = selected.collect();
        let statement = format!(
            "UNLOAD (SELECT to_milliseconds(time) * 1000 AS \"{SAMPLED_AT}\", {} FROM {} WHERE \"{ZONE}\" = {} AND {}) \
             TO {} WITH (format = 'PARQUET', compression = 'GZIP', max_file_size = '{FILE_SIZE}', \
             encryption = 'SSE_KMS', kms_key = {})",
            selected.join(", "),
            self.table(),
            sql::text(&partition.zone),
            between(partition.day, partition.day),
            sql::text(&format!("s3://{}/{folder}", self.bucket)),
            sql::text(&self.key_arn)
        );
        self.query(&statement, has_time).await?;
        let keys = self.exporter.cold.list(folder).await?;
        // A manifest is only written once all files are. If there are several, any will do.
        let manifest = keys.iter().find(|key| key.ends_with("manifest.json"));
        let none = || PortError(format!("UNLOAD: there is no manifest below {folder}"));
        let key = manifest.ok_or_else(none)?;
        let bytes = self.exporter.cold.get(key).await?.ok_or_else(none)?;
        let damaged = |reason: String| ExportError::Earlier { key: key.clone(), reason };
        let unloaded: Unloaded = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let rows: u64 = unloaded.result_files.iter().map(|file| file.file_metadata.row_count).sum();
        let is_ours = |file: &ResultFile| file.url.starts_with(&format!("s3://{}/{folder}", self.bucket));
        if rows != unloaded.query_metadata.total_row_count || !unloaded.result_files.iter().all(is_ours) {
            return Err(damaged("it does not name all rows, or files that lie elsewhere".to_owned()));
        }
        let file = |ResultFile { url, file_metadata }| DataFile {
            path: url,
            partition: partition.clone(),
            rows: file_metadata.row_count,
            bounds: Vec::new(),
        };
        Ok(unloaded.result_files.into_iter().map(file).collect())
    }

    /// All rows that a statement returns.
    async fn query(
        &self,
        statement: &str,
        has_time: &impl Fn() -> bool,
    ) -> Result<Vec<Vec<Option<String>>>, PortError> {
        let (mut rows, mut token, mut failed) = (Vec::new(), None::<String>, 0);
        loop {
            match self.exporter.catalog.page(statement, token.as_deref()).await {
                Ok(Metered { page: Page { rows: more, next, .. }, .. }) => {
                    failed = 0;
                    let is_empty = more.is_empty();
                    rows.extend(more);
                    let Some(next) = next else { return Ok(rows) };
                    token = Some(next);
                    if is_empty {
                        tokio::time::sleep(POLL).await;
                    }
                }
                Err(why) => {
                    failed += 1;
                    if failed >= TRIES_MAX {
                        return Err(why.into());
                    }
                    tokio::time::sleep(PAUSE * failed).await;
                }
            }
            if !has_time() {
                return Err(PortError("Query: no time is left".to_owned()));
            }
        }
    }

    async fn empty(&self, folder: &str) -> Result<(), PortError> {
        let keys = self.exporter.cold.list(folder).await?;
        if keys.is_empty() { Ok(()) } else { self.exporter.cold.delete(&keys).await }
    }

    /// The folder into which Timestream writes its rows of a partition.
    fn staging(&self, partition: &Partition) -> String {
        self.exporter.layout.manifests(partition).replacen("manifests/", "staging/", 1)
    }

    fn table(&self) -> String {
        dialect::table(&self.exporter.table.namespace, &self.exporter.table.table)
    }
}

/// The manifest of an `UNLOAD` ("UNLOAD concepts", Amazon Timestream developer guide).
#[derive(Deserialize)]
struct Unloaded {
    result_files: Vec<ResultFile>,
    query_metadata: QueryMetadata,
}

#[derive(Deserialize)]
struct ResultFile {
    url: String,
    file_metadata: FileMetadata,
}

#[derive(Deserialize)]
struct FileMetadata {
    row_count: u64,
}

#[derive(Deserialize)]
struct QueryMetadata {
    total_row_count: u64,
}

/// The columns of exported files. The table does not number columns, so a number is derived from each name and stays
/// the same when other columns are added. The columns that every row has are numbered as in the Iceberg table.
fn fields(columns: &[Column]) -> Result<Vec<Field>, ExportError> {
    const OWN_IDS: u32 = 1_000;
    let mut fields: Vec<Field> = (1..).zip(FIXED).map(|(id, column)| Field { id, column }).collect();
    let mut own: Vec<&Column> =
        columns.iter().filter(|column| !FIXED.iter().any(|fixed| fixed.name == column.name)).collect();
    own.sort_by(|one, other| one.name.cmp(&other.name));
    for column in own {
        // FNV-1a, which is stable forever.
        let hash =
            column.name.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let id = i32::try_from(OWN_IDS + hash % (i32::MAX.unsigned_abs() - OWN_IDS)).unwrap_or(i32::MAX);
        if let Some(same) = fields.iter().find(|field| field.id == id) {
            let reason = format!("the columns `{}` and `{}` have one number", same.column.name, column.name);
            return Err(ExportError::Port(PortError(reason)));
        }
        fields.push(Field { id, column: column.clone() });
    }
    Ok(fields)
}

/// The condition for times from the start of one day to the end of another.
fn between(first: Day, last: Day) -> String {
    dialect::between(first.begin(), last.end())
}

#[cfg(test)]
#[path = "timestream_tests.rs"]
mod tests;
