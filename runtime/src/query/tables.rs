//! Samples in an Iceberg table, in exported files, and the newest also in a hot table.

use fleetform_engine::{
    drive::PortError,
    rows::{columns::Column as TableColumn, sql},
    units::{Millis, Timestamp},
};
use serde_json::Value;

use super::{
    Answers, Files, QueryError,
    athena::{self, Athena},
    column, cost,
    device::Device,
    newest::Newest,
    question::{Left, Place, Question},
};
use crate::{
    event::query::{Answer, Read, Request},
    iceberg::{TableName, catalog::Catalog},
};

/// The approximate maximum of bytes in the rows of an answer from the hot table.
const ANSWER_BYTES: usize = 3_000_000;
/// The approximate maximum of bytes of items that are read for one answer: they are held in memory together.
const HOT_BYTES: usize = 12_000_000;
/// An item only has rows of a single hour.
const HOUR: Millis = Millis::from_secs(3_600);

/// The port to the hot table.
pub trait HotTable: Sync {
    /// Reads items of a device from one time, inclusive, to another, exclusive, in order of time: as many as one
    /// request returns, after the last one of the previous request.
    fn items(
        &self,
        device: &str,
        between: (Timestamp, Timestamp),
        after: Option<String>,
    ) -> impl Future<Output = Result<Items, PortError>> + Send;
}

/// The result of one request to the hot table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// The rows of each item as a JSON array, with the time of the first row.
    pub items: Vec<(Timestamp, String)>,
    /// The key of the last item, if there may be more.
    pub last: Option<String>,
    /// The read request units used.
    pub read_units: f64,
}

/// Answers questions through its ports.
#[derive(Debug)]
pub struct Tables<C, A, H> {
    /// The catalog with the table's columns.
    pub catalog: C,
    /// Runs SQL queries.
    pub athena: A,
    /// The hot table, and how long it keeps rows; `None` if the platform has none.
    pub hot: Option<(H, Millis)>,
    /// The table's name.
    pub table: TableName,
    /// The exported files.
    pub files: Files,
}

impl<C: Catalog, A: Athena, H: HotTable> Answers for Tables<C, A, H> {
    async fn answer(
        &self,
        request: Request,
        now: Timestamp,
        has_time: impl Fn() -> bool,
    ) -> Result<Answer, QueryError> {
        let left = match &request.next {
            Some(next) => Left::read(&request, next)?,
            None => {
                let files = request.files;
                self.begin(Question::read(request, now)?, files, now, &has_time).await?
            }
        };
        match left {
            Left::Running { id, then } => {
                athena::wait(&self.athena, id, then, has_time).await.map_err(|error| self.files.explained(error))
            }
            Left::Rows { id, page, columns, then } => {
                athena::rows(&self.athena, id, Some(page), columns, then, Read::default(), has_time).await
            }
            Left::Newest(device) => self.newest(device).await,
            Left::Timestream { .. } => Err(Left::unknown()),
        }
    }
}

impl<C: Catalog, A: Athena, H: HotTable> Tables<C, A, H> {
    /// Starts answering a question.
    async fn begin(
        &self,
        question: Question,
        files: bool,
        now: Timestamp,
        has_time: &impl Fn() -> bool,
    ) -> Result<Left, QueryError> {
        let columns = self.columns().await?;
        let table = self.table_name();
        let place = Place { table: Some(&table), files: &self.files, all_days: files, now };
        let (sql, then) = match question {
            Question::Sql { sql, zone, from, to } => (place.sql(&columns, &sql, zone.as_deref(), (from, to))?, None),
            Question::Device(mut device) => {
                device.check(&columns)?;
                let hot_from =
                    self.hot.as_ref().map_or(device.to, |(_, retention)| Timestamp(now.0 - retention.0 as i64));
                if hot_from <= device.from {
                    return Ok(Left::Newest(device));
                }
                let older = Device { to: device.to.min(hot_from), ..device.clone() };
                let sql = place.device(&columns, &older)?;
                (sql, (hot_from < device.to).then_some(Device { from: hot_from, ..device }))
            }
        };
        athena::begin(&self.athena, &sql, then, now, has_time).await
    }

    /// Reads the newest samples of a device from the hot table.
    async fn newest(&self, device: Device) -> Result<Answer, QueryError> {
        let known = self.columns().await?;
        let (columns, head) = (device.wanted(&known), device.head());
        let Some((hot, _)) = &self.hot else {
            return Err(QueryError::Bad("there is no hot table any more: ask again".to_owned()));
        };
        let (mut newest, mut read, mut bytes, mut last) = (Newest::default(), Read::default(), 0, None);
        // An item holds rows of one hour, so the first rows may be in an item that starts up to an hour earlier.
        let begin = Timestamp(device.from.0.saturating_sub(device.from.0.rem_euclid(HOUR.0 as i64)));
        let mut until = device.from;
        let complete = loop {
            let Items { items, last: more, read_units } = hot.items(&device.id, (begin, device.to), last).await?;
            read += cost::hot(read_units);
            for (at, rows) in &items {
                newest.add(rows, device.from, device.to).map_err(|error| PortError(error.to_string()))?;
                bytes += rows.len();
                // All hours before this item's have been read completely.
                until = Timestamp(at.0 - at.0.rem_euclid(HOUR.0 as i64));
            }
            match more {
                None => break true,
                Some(_) if bytes > HOT_BYTES && until > device.from => break false,
                more => last = more,
            }
        };
        let end = if complete { device.to } else { until };
        let (mut rows, mut bytes, mut follows) = (Vec::new(), 0, (!complete).then_some(until));
        for (at, values) in newest.samples(end, &columns) {
            if bytes > ANSWER_BYTES {
                follows = Some(at);
                break;
            }
            let row: Vec<Value> =
                [Value::from(device.id.as_str()), at.to_rfc3339().into()].into_iter().chain(values).collect();
            bytes += serde_json::to_vec(&row).map_or(0, |row| row.len());
            rows.push(row);
        }
        let columns = head.into_iter().chain(columns.iter().map(column)).collect();
        let left = follows.map(|from| Left::Newest(Device { from, ..device }));
        Ok(Answer { columns, rows, read, next: left.map(|left| left.to_text()), error: None })
    }

    /// The columns that the table has.
    async fn columns(&self) -> Result<Vec<TableColumn>, QueryError> {
        let metadata = self.catalog.load(&self.table).await?;
        let metadata = metadata.ok_or_else(|| PortError("there is no table of samples".to_owned()))?;
        let schema = metadata.schema().map_err(|unfit| PortError(format!("the table of samples: {unfit}")))?;
        Ok(schema.into_iter().map(|(_, column)| column).collect())
    }

    /// The table's name in a query.
    fn table_name(&self) -> String {
        let TableName { bucket_arn, namespace, table } = &self.table;
        let bucket = bucket_arn.rsplit('/').next().unwrap_or_default();
        sql::table_bucket(bucket, namespace, table)
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
