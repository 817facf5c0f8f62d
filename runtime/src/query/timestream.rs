//! Samples in Timestream, and older ones in exported files.
//!
//! Every row expires from Timestream at its own time, while days are exported as a whole. So everything before the
//! first day that is still complete is read from files, and everything from that day on from Timestream.

use fleetform_engine::{
    rows::{
        columns::{Column as TableColumn, DEVICE_ID, ZONE},
        sql::{self, timestream as dialect},
    },
    units::{Millis, Timestamp},
};
use serde_json::Value;

use super::{
    Answers, Files, Pauses, QueryError,
    athena::{self, Athena},
    cost,
    device::Device,
    question::{self, Left, Place, Question},
    value,
};
use crate::{
    data_catalog::{self, DataCatalog},
    event::query::{Answer, Column, Read, Request},
    results::AskError,
    timestream::{self, Metered, Queries},
};

/// How long a day must still be complete in Timestream for it to be queried there.
const MARGIN: Millis = Millis::from_secs(3_600);

/// Answers questions through its ports.
#[derive(Debug)]
pub struct Timestream<D, Q, A> {
    /// The catalog with all columns that have ever existed.
    pub data_catalog: D,
    /// Timestream.
    pub queries: Q,
    /// Runs queries of files.
    pub athena: A,
    /// The names of the database and of the table in it.
    pub table: (String, String),
    /// The names of the database and of the table of exported files in the data catalog.
    pub exported: (String, String),
    /// The exported files, and how long a row stays in Timestream.
    pub files: Files,
}

impl<D: DataCatalog, Q: Queries, A: Athena> Answers for Timestream<D, Q, A> {
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
        let (sql, token, metered) = match left {
            Left::Running { id, then } => {
                let answer = athena::wait(&self.athena, id, then, has_time).await;
                return answer.map_err(|error| self.files.explained(error));
            }
            Left::Rows { id, page, columns, then } => {
                return athena::rows(&self.athena, id, Some(page), columns, then, Read::default(), has_time).await;
            }
            Left::Newest(device) => {
                let columns = self.columns().await?;
                (self.device(&columns, &device, &has_time).await?, None, 0)
            }
            Left::Timestream { sql, token, metered } => (sql, token, metered),
        };
        self.page(sql, token, metered, has_time).await.map_err(|error| self.files.explained(error))
    }
}

impl<D: DataCatalog, Q: Queries, A: Athena> Timestream<D, Q, A> {
    /// Starts answering a question.
    async fn begin(
        &self,
        question: Question,
        all_days: bool,
        now: Timestamp,
        has_time: &impl Fn() -> bool,
    ) -> Result<Left, QueryError> {
        let columns = self.columns().await?;
        let place = Place { table: None, files: &self.files, all_days, now };
        let in_files = all_days || self.files.is_about_aggregates(&question);
        let since = if in_files { Timestamp(i64::MAX) } else { self.whole_since(now) };
        let (sql, then) = match question {
            Question::Sql { sql, zone, from, to } if to <= since => {
                (place.sql(&columns, &sql, zone.as_deref(), (from, to))?, None)
            }
            Question::Sql { from, .. } if from < since => {
                let since = since.to_rfc3339().unwrap_or_default();
                return Err(QueryError::Bad(format!(
                    "samples since {since} are in Timestream, older ones in exported files, and a question in SQL is about \
                     one of both: let it begin or end then, or ask exported files alone, by `files`"
                )));
            }
            Question::Sql { sql, zone, from, to } => {
                let condition = zone.map(|zone| format!("{ZONE} = {}", sql::text(&zone)));
                let samples = self.samples(&columns, condition, (from, to), has_time).await?;
                let sql = question::about(&[(sql::SAMPLES, &samples)], &sql, &columns)?;
                return Ok(Left::Timestream { sql, token: None, metered: 0 });
            }
            Question::Device(mut device) => {
                device.check(&columns)?;
                if since <= device.from {
                    return Ok(Left::Newest(device));
                }
                let older = Device { to: device.to.min(since), ..device.clone() };
                let sql = place.device(&columns, &older)?;
                (sql, (since < device.to).then_some(Device { from: since, ..device }))
            }
        };
        athena::begin(&self.athena, &sql, then, now, has_time).await
    }

    /// The start of the first day that Timestream has completely, and still will for a while.
    fn whole_since(&self, now: Timestamp) -> Timestamp {
        now.after(MARGIN).before(self.files.keep).day_begin().after(Millis::from_days(1))
    }

    /// The query for a question about a device.
    async fn device(
        &self,
        columns: &[TableColumn],
        device: &Device,
        has_time: &impl Fn() -> bool,
    ) -> Result<String, QueryError> {
        let condition = format!("{DEVICE_ID} = {}", sql::text(&device.id));
        let wanted = device.wanted(columns);
        let samples = self.samples(&wanted, Some(condition), (device.from, device.to), has_time).await?;
        Ok(sql::ask(&samples, &question::all_of(&wanted)))
    }

    /// The samples of a time range.
    async fn samples(
        &self,
        columns: &[TableColumn],
        condition: Option<String>,
        (from, to): (Timestamp, Timestamp),
        has_time: &impl Fn() -> bool,
    ) -> Result<String, QueryError> {
        let (database, table) = &self.table;
        let stored = timestream::columns(self.all(&timestream::describe(database, table), has_time).await?);
        let conditions: Vec<String> = [dialect::between(from, to)].into_iter().chain(condition).collect();
        Ok(dialect::samples(&dialect::table(database, table), columns, &stored, &conditions))
    }

    /// Reads all rows of a short answer.
    async fn all(&self, statement: &str, has_time: &impl Fn() -> bool) -> Result<Vec<Vec<Option<String>>>, QueryError> {
        let (mut rows, mut token) = (Vec::new(), None);
        loop {
            let page = self.ask(statement, token.as_deref(), has_time).await?.page;
            rows.extend(page.rows);
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// Returns the first or a later page of an answer. Pages without rows come while Timestream is computing.
    async fn page(
        &self,
        sql: String,
        mut token: Option<String>,
        metered: u64,
        has_time: impl Fn() -> bool,
    ) -> Result<Answer, QueryError> {
        let mut pauses = Pauses::default();
        // The previous steps may have taken long, and so may a page.
        if token.is_none() && !has_time() {
            let left = Left::Timestream { sql, token, metered };
            return Ok(Answer { next: Some(left.to_text()), ..Answer::default() });
        }
        loop {
            let Metered { page, bytes } = match self.ask(&sql, token.as_deref(), &has_time).await {
                Ok(found) => found,
                Err(QueryError::Busy) => {
                    let left = Left::Timestream { sql, token, metered };
                    return Ok(Answer { next: Some(left.to_text()), ..Answer::default() });
                }
                Err(error) => return Err(error),
            };
            if page.rows.is_empty() && page.next.is_some() && has_time() {
                token = page.next;
                pauses.wait().await;
                continue;
            }
            let columns: Vec<Column> = page.columns.iter().map(|(name, kind)| value::column(name, kind)).collect();
            let typed = |row: Vec<Option<String>>| -> Vec<Value> {
                columns.iter().zip(row).map(|(column, text)| value::value(column, text)).collect()
            };
            // A page has at most one megabyte ("Query", Amazon Timestream API), which fits into an answer.
            let rows: Vec<Vec<Value>> = page.rows.into_iter().map(typed).collect();
            let is_running = rows.is_empty() && page.next.is_some();
            let next = page.next.map(|token| Left::Timestream { sql, token: Some(token), metered: bytes }.to_text());
            let read = cost::metered(bytes.saturating_sub(metered));
            return Ok(Answer {
                columns: if is_running { Vec::new() } else { columns },
                rows,
                read,
                next,
                error: None,
            });
        }
    }

    /// Runs a query, and waits while Timestream has no capacity and there is time.
    async fn ask(&self, sql: &str, token: Option<&str>, has_time: &impl Fn() -> bool) -> Result<Metered, QueryError> {
        let mut pauses = Pauses::default();
        loop {
            match self.queries.page(sql, token).await {
                Err(AskError::Busy) if has_time() => pauses.wait().await,
                answer => return Ok(answer?),
            }
        }
    }

    /// All columns that have ever existed.
    async fn columns(&self) -> Result<Vec<TableColumn>, QueryError> {
        let (database, table) = &self.exported;
        let none = || fleetform_engine::drive::PortError(format!("there is no table `{table}` in `{database}`"));
        let found = self.data_catalog.find(database, table).await?.ok_or_else(none)?;
        Ok(data_catalog::columns(&found)?)
    }
}

#[cfg(test)]
#[path = "timestream_tests.rs"]
mod tests;
