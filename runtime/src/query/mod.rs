//! Questions about samples, wherever these are by their age: in the hot table, in the table of samples, or in exported
//! files.
//!
//! A question is answered page by page. What is to follow is handed out with each page and comes back with the next
//! request, so that nothing is kept between two of them. It refuses to know which services answer.

mod cost;
mod newest;
mod question;
mod value;

use std::time::Duration;

use fleetform_engine::{
    drive::PortError,
    rows::{
        aggregates,
        columns::{Column as TableColumn, ColumnType, DEVICE_ID, FIXED, SAMPLED_AT},
        sql,
    },
    units::{Millis, Timestamp},
};
use serde_json::Value;

use crate::{
    event::query::{Answer, Column, Read, Request},
    iceberg::{TableName, catalog::Catalog},
};
use newest::Newest;
use question::{Device, Left, Question};

/// Rows of a page of Athena, at most ("GetQueryResults", Amazon Athena API).
const PAGE_ROWS_MAX: usize = 1_000;
/// Values of an answer, about: Lambda takes answers of 6 MB ("Lambda quotas", AWS Lambda developer guide).
const ANSWER_VALUES: usize = 60_000;
/// Columns that a result is taken to have until its first page is there.
const COLUMNS_GUESSED: usize = 60;
/// Bytes of the rows of an answer: at most, and where one made of the hot table ends.
const ANSWER_BYTES_MAX: usize = 5_000_000;
const ANSWER_BYTES: usize = 3_000_000;
/// Bytes of items that are read for one answer, about: they are held at once.
const HOT_BYTES: usize = 12_000_000;
/// Rows of an hour are in items of that hour.
const HOUR: Millis = Millis::from_secs(3_600);
/// Time before it is asked again whether Athena is done. Each later wait is longer by this, up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Amazon Athena.
pub trait Athena: Sync {
    /// Starts a query, and gives its id. A second start by the same `name` is the first one.
    fn start(&self, sql: &str, name: &str) -> impl Future<Output = Result<String, AthenaError>> + Send;

    /// How a query stands.
    fn standing(&self, id: &str) -> impl Future<Output = Result<Standing, AthenaError>> + Send;

    /// A page of a query's result, the first one where none is named.
    fn page(&self, id: &str, page: Option<&str>, rows: usize)
    -> impl Future<Output = Result<Page, AthenaError>> + Send;
}

/// A call of Athena that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AthenaError {
    /// The question is wrong, in Athena's words.
    Refused(String),
    /// It would succeed later.
    Busy,
    /// Something else.
    Port(PortError),
}

/// How a query stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits, or runs.
    Running,
    /// Its result is there.
    Done {
        /// Bytes that it scanned.
        scanned_bytes: u64,
    },
    /// It has failed, in Athena's words.
    Failed(String),
}

/// A page of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its columns by name and Athena's type.
    pub columns: Vec<(String, String)>,
    /// Its rows, without the one that says the columns' names.
    pub rows: Vec<Vec<Option<String>>>,
    /// The page after it.
    pub next: Option<String>,
}

/// The hot table.
pub trait HotTable: Sync {
    /// Items of a device from one moment on and before another, by time: as many as one request gives, from after the
    /// last one of the request before.
    fn items(
        &self,
        device: &str,
        between: (Timestamp, Timestamp),
        after: Option<String>,
    ) -> impl Future<Output = Result<Items, PortError>> + Send;
}

/// What one request of the hot table gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// The rows of each item, as a JSON array, with the moment of the first one.
    pub items: Vec<(Timestamp, String)>,
    /// The key of the last one, where there may be more.
    pub last: Option<String>,
    /// Read request units.
    pub read_units: f64,
}

/// What answers, with its ports.
#[derive(Debug)]
pub struct Answerer<C, A, H> {
    /// Where the table's columns are known.
    pub catalog: C,
    /// What answers in SQL.
    pub athena: A,
    /// The hot table, and how long it keeps rows; none where the platform has none.
    pub hot: Option<(H, Millis)>,
    /// The table.
    pub table: TableName,
    /// The exported files as a question spells them.
    pub exported: String,
    /// Aggregates of them; none where the platform makes none.
    pub aggregates: Option<String>,
    /// How long after its end a day stays in the table.
    pub keep: Millis,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The question cannot be answered.
    #[error("{0}")]
    Bad(String),
    /// A service does not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Athena has no room for another query.
    #[error("Athena runs as many queries as the account may have at once")]
    Busy,
}

impl From<AthenaError> for QueryError {
    fn from(error: AthenaError) -> Self {
        match error {
            AthenaError::Refused(reason) => Self::Bad(reason),
            AthenaError::Busy => Self::Busy,
            AthenaError::Port(error) => Self::Port(error),
        }
    }
}

impl<C: Catalog, A: Athena, H: HotTable> Answerer<C, A, H> {
    /// Answers a request at `now`. While `has_time`, it waits for what is being looked for.
    ///
    /// # Errors
    /// If the request is wrong, or a service does not answer.
    pub async fn answer(
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
            Left::Running { id, then } => self.wait(id, then, has_time).await,
            Left::Rows { id, page, columns, then } => {
                self.rows(id, Some(page), columns, then, Read::default(), has_time).await
            }
            Left::Hot(device) => self.newest(device).await,
        }
    }

    /// Begins to answer a question.
    async fn begin(
        &self,
        question: Question,
        files: bool,
        now: Timestamp,
        has_time: &impl Fn() -> bool,
    ) -> Result<Left, QueryError> {
        let columns = self.columns().await?;
        let place = question::Place {
            table: self.table_name(),
            exported: &self.exported,
            aggregates: self.aggregates.as_deref(),
            keep: self.keep,
            files,
            now,
        };
        let (sql, then) = match question {
            Question::Sql { sql, zone, from, to } => (place.sql(&columns, &sql, zone.as_deref(), (from, to))?, None),
            Question::Device(mut device) => {
                device.columns(&columns)?;
                let hot_from =
                    self.hot.as_ref().map_or(device.to, |(_, retention)| Timestamp(now.0 - retention.0 as i64));
                if hot_from <= device.from {
                    return Ok(Left::Hot(device));
                }
                let older = Device { to: device.to.min(hot_from), ..device.clone() };
                let sql = place.device(&columns, &older)?;
                (sql, (hot_from < device.to).then_some(Device { from: hot_from, ..device }))
            }
        };
        let name = question::start_name(&sql, now);
        let mut pauses = Pauses::default();
        loop {
            match self.athena.start(&sql, &name).await {
                Ok(id) => return Ok(Left::Running { id, then }),
                Err(AthenaError::Busy) if has_time() => pauses.wait().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a query, and gives the first rows of its result.
    async fn wait(&self, id: String, then: Option<Device>, has_time: impl Fn() -> bool) -> Result<Answer, QueryError> {
        let mut pauses = Pauses::default();
        loop {
            match self.athena.standing(&id).await {
                Ok(Standing::Done { scanned_bytes }) => {
                    return self.rows(id, None, 0, then, cost::scanned(scanned_bytes), has_time).await;
                }
                Ok(Standing::Failed(reason)) => return Err(QueryError::Bad(self.explained(reason))),
                Ok(Standing::Running) | Err(AthenaError::Busy) if !has_time() => {
                    return Ok(Answer { next: Some(Left::Running { id, then }.to_text()), ..Answer::default() });
                }
                Ok(Standing::Running) | Err(AthenaError::Busy) => pauses.wait().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What Athena says is wrong, with the next step where it finds no aggregates.
    fn explained(&self, reason: String) -> String {
        if self.aggregates.is_some() || !aggregates::are_named(&reason) {
            return reason;
        }
        format!("{reason}: the platform makes aggregates where `retention.downsample` asks for them")
    }

    /// Rows of a query's result, as many as fit into an answer.
    async fn rows(
        &self,
        id: String,
        page: Option<String>,
        columns: usize,
        then: Option<Device>,
        read: Read,
        has_time: impl Fn() -> bool,
    ) -> Result<Answer, QueryError> {
        // Nobody knows before the first page how wide its rows are.
        let mut rows = (ANSWER_VALUES / columns.max(COLUMNS_GUESSED)).clamp(1, PAGE_ROWS_MAX);
        let mut pauses = Pauses::default();
        loop {
            let found = match self.athena.page(&id, page.as_deref(), rows).await {
                Ok(found) => found,
                Err(AthenaError::Busy) if has_time() => {
                    pauses.wait().await;
                    continue;
                }
                Err(AthenaError::Busy) => {
                    let left = match page {
                        Some(page) => Left::Rows { id, page, columns, then },
                        None => Left::Running { id, then },
                    };
                    return Ok(Answer { next: Some(left.to_text()), ..Answer::default() });
                }
                Err(error) => return Err(error.into()),
            };
            let columns: Vec<Column> = found.columns.iter().map(|(name, athena)| value::column(name, athena)).collect();
            let typed = |row: Vec<Option<String>>| {
                columns.iter().zip(row).map(|(column, text)| value::value(column, text)).collect::<Vec<Value>>()
            };
            let typed: Vec<Vec<Value>> = found.rows.into_iter().map(typed).collect();
            if serde_json::to_vec(&typed).map_or(0, |bytes| bytes.len()) > ANSWER_BYTES_MAX {
                if rows == 1 {
                    return Err(QueryError::Bad(format!("a row has more than {ANSWER_BYTES_MAX} bytes")));
                }
                rows /= 2;
                continue;
            }
            let left = match found.next {
                Some(page) => Some(Left::Rows { id, page, columns: columns.len(), then }),
                None => then.map(Left::Hot),
            };
            let next = left.map(|left| left.to_text());
            return Ok(Answer { columns, rows: typed, read, next, error: None });
        }
    }

    /// The newest samples of a device, out of the hot table.
    async fn newest(&self, device: Device) -> Result<Answer, QueryError> {
        let known = self.columns().await?;
        let (columns, head) = (device.wanted(&known), device.head());
        let Some((hot, _)) = &self.hot else {
            return Err(QueryError::Bad("there is no hot table any more: ask again".to_owned()));
        };
        let (mut newest, mut read, mut bytes, mut last) = (Newest::default(), Read::default(), 0, None);
        // An item has rows of one hour, so the first ones may be in an item that begins up to an hour earlier.
        let begin = Timestamp(device.from.0 - device.from.0.rem_euclid(HOUR.0 as i64));
        let mut until = device.from;
        let complete = loop {
            let Items { items, last: more, read_units } = hot.items(&device.id, (begin, device.to), last).await?;
            read += cost::hot(read_units);
            for (at, rows) in &items {
                newest.add(rows, device.from, device.to).map_err(|error| PortError(error.to_string()))?;
                bytes += rows.len();
                // Hours before this item's are read to their end.
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
        let left = follows.map(|from| Left::Hot(Device { from, ..device }));
        Ok(Answer { columns, rows, read, next: left.map(|left| left.to_text()), error: None })
    }

    /// The columns that the table has.
    async fn columns(&self) -> Result<Vec<TableColumn>, QueryError> {
        let metadata = self.catalog.load(&self.table).await?;
        let metadata = metadata.ok_or_else(|| PortError("there is no table of samples".to_owned()))?;
        let schema = metadata.schema().map_err(|unfit| PortError(format!("the table of samples: {unfit}")))?;
        Ok(schema.into_iter().map(|(_, column)| column).collect())
    }

    /// The table as a question spells it.
    fn table_name(&self) -> String {
        let TableName { bucket_arn, namespace, table } = &self.table;
        let bucket = bucket_arn.rsplit('/').next().unwrap_or_default();
        sql::table_bucket(bucket, namespace, table)
    }
}

/// Waits that grow.
#[derive(Debug, Default)]
struct Pauses {
    count: u32,
}

impl Pauses {
    async fn wait(&mut self) {
        self.count += 1;
        tokio::time::sleep((PAUSE * self.count).min(PAUSE_MAX)).await;
    }
}

fn column(column: &TableColumn) -> Column {
    Column { name: column.name.to_string(), column_type: column.column_type.as_str().to_owned() }
}

impl Device {
    /// The columns that every answer about a device begins with.
    fn head(&self) -> [Column; 2] {
        [(DEVICE_ID, ColumnType::Text), (SAMPLED_AT, ColumnType::Time)]
            .map(|(name, column_type)| Column { name: name.to_owned(), column_type: column_type.as_str().to_owned() })
    }

    /// Those that follow: what is asked for, or everything that a sample says.
    fn wanted(&self, known: &[TableColumn]) -> Vec<TableColumn> {
        let find = |name: &String| known.iter().find(|column| column.name == name.as_str()).cloned();
        if self.readings.is_empty() {
            let own = |column: &&TableColumn| FIXED.iter().all(|fixed| fixed.name != column.name);
            return known.iter().filter(own).cloned().collect();
        }
        self.readings.iter().filter_map(find).collect()
    }

    /// Makes sure that there is what is asked for.
    fn columns(&mut self, known: &[TableColumn]) -> Result<(), QueryError> {
        let mut seen = std::collections::BTreeSet::new();
        self.readings.retain(|name| name != DEVICE_ID && name != SAMPLED_AT && seen.insert(name.clone()));
        let missing = self.readings.iter().find(|name| known.iter().all(|column| column.name != name.as_str()));
        let Some(missing) = missing else { return Ok(()) };
        let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
        Err(QueryError::Bad(format!("there is no reading `{missing}`; the table of samples has {}", names.join(", "))))
    }
}

#[cfg(test)]
mod tests;
