//! The same of the functions that keep samples, write them out and ask for them.

use fleetform_engine::units::Millis;

use super::{Common, ConfigError, Variables, number, rule_set_sha256, seconds, stream_arn};
#[cfg(any(feature = "export", feature = "live"))]
use crate::iceberg::TableName;

/// Where `store` puts rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsGo {
    /// Into a Firehose stream, to a table of Amazon S3 Tables.
    Firehose {
        /// Its name.
        delivery_stream: String,
    },
    /// Into Timestream.
    Timestream {
        /// The database.
        database: String,
        /// The table.
        table: String,
        /// The bucket of what it refuses.
        undelivered_bucket: String,
    },
}

impl RowsGo {
    fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        match variables.optional(TIMESTREAM_DATABASE) {
            None => Ok(Self::Firehose { delivery_stream: variables.required("FLEETFORM_DELIVERY_STREAM")? }),
            Some(database) => Ok(Self::Timestream {
                database,
                table: variables.required("FLEETFORM_TIMESTREAM_TABLE")?,
                undelivered_bucket: variables.required("FLEETFORM_UNDELIVERED_BUCKET")?,
            }),
        }
    }
}

/// Where samples are in Timestream, its database.
const TIMESTREAM_DATABASE: &str = "FLEETFORM_TIMESTREAM_DATABASE";

/// What the `store` handler knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What every function knows.
    pub common: Common,
    /// The bucket with the rule sets.
    pub artifact_bucket: String,
    /// The rule set that says how messages are read: SHA-256 in hexadecimal.
    pub rule_set_sha256: String,
    /// The bucket of the state log.
    pub state_bucket: String,
    /// ARN of the telemetry stream.
    pub stream_arn: String,
    /// Its generation.
    pub stream_generation: u32,
    /// Which chain of the state log is in force.
    pub state_repair: u32,
    /// Where rows go.
    pub rows: RowsGo,
    /// The table of what devices were.
    pub registrations_table: String,
    /// The hot table, and how long it keeps rows; none where the platform has none.
    pub hot: Option<(String, Millis)>,
}

impl Store {
    /// Reads what the `store` handler knows.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            common: Common::read(variables)?,
            artifact_bucket: variables.required("FLEETFORM_ARTIFACT_BUCKET")?,
            rule_set_sha256: rule_set_sha256(variables)?,
            state_bucket: variables.required("FLEETFORM_STATE_BUCKET")?,
            stream_arn: stream_arn(variables)?,
            stream_generation: number(variables, "FLEETFORM_STREAM_GENERATION")?,
            state_repair: number(variables, "FLEETFORM_STATE_REPAIR")?,
            rows: RowsGo::read(variables)?,
            registrations_table: variables.required("FLEETFORM_REGISTRATIONS_TABLE")?,
            hot: hot(variables)?,
        })
    }
}

/// Where `export` takes days from.
#[cfg(feature = "export")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaysFrom {
    /// A table of Amazon S3 Tables.
    Iceberg(TableName),
    /// A table of Timestream.
    Timestream {
        /// The database.
        database: String,
        /// The table.
        table: String,
        /// ARN of the key that encrypts what Timestream writes.
        key_arn: String,
    },
}

#[cfg(feature = "export")]
impl DaysFrom {
    fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(match variables.optional(TIMESTREAM_DATABASE) {
            None => Self::Iceberg(table_name(variables)?),
            Some(database) => Self::Timestream {
                database,
                table: variables.required("FLEETFORM_TIMESTREAM_TABLE")?,
                key_arn: variables.required("FLEETFORM_KEY_ARN")?,
            },
        })
    }
}

/// What the `export` handler knows.
#[cfg(feature = "export")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// What every function knows.
    pub common: Common,
    /// The table of samples.
    pub days_from: DaysFrom,
    /// The bucket of exports.
    pub cold_bucket: String,
    /// How keys are made.
    pub layout: crate::export::manifest::Layout,
    /// How long after its end a day is exported.
    pub after: Millis,
    /// How long after its end a day stays in the table.
    pub keep: Millis,
    /// Rows that are held at once, at most.
    pub group_rows: u64,
    /// How objects are compressed.
    pub codec: crate::frame::parquet::Codec,
    /// Which aggregates are made beside.
    pub downsample: Option<crate::export::downsample::Downsample>,
}

#[cfg(feature = "export")]
impl Export {
    /// Rows that are held at once where nothing is said: what a function's memory holds beside an object.
    pub(super) const GROUP_ROWS: u64 = 2_000_000;

    /// Reads what the `export` handler knows.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let rows = "FLEETFORM_EXPORT_GROUP_ROWS";
        Ok(Self {
            common: Common::read(variables)?,
            days_from: DaysFrom::read(variables)?,
            cold_bucket: variables.required("FLEETFORM_COLD_BUCKET")?,
            layout: variables.parsed(
                "FLEETFORM_EXPORT_PARTITION_BY",
                "`zone,day` or `day,zone`",
                crate::export::manifest::Layout::named,
            )?,
            after: Millis::from_secs(seconds(variables, "FLEETFORM_EXPORT_AFTER_S")?),
            keep: Millis::from_secs(seconds(variables, "FLEETFORM_WARM_RETENTION_S")?),
            codec: variables.parsed(
                "FLEETFORM_EXPORT_COMPRESSION",
                "`zstd`, `snappy` or `gzip`",
                crate::frame::parquet::Codec::named,
            )?,
            downsample: match variables.optional("FLEETFORM_DOWNSAMPLE_S") {
                None => None,
                Some(_) => Some(crate::export::downsample::Downsample {
                    every: variables.parsed("FLEETFORM_DOWNSAMPLE_S", "seconds that divide a day", interval)?,
                    until: Millis::from_secs(seconds(variables, "FLEETFORM_COLD_RETENTION_S")?),
                }),
            },
            group_rows: match variables.optional(rows) {
                None => Self::GROUP_ROWS,
                Some(_) => {
                    variables.parsed(rows, "a number of rows", |text| text.parse().ok().filter(|rows| *rows > 0))?
                }
            },
        })
    }
}

/// Where `query` looks for samples besides exported files.
#[cfg(feature = "live")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedIn {
    /// A table of Amazon S3 Tables.
    Iceberg {
        /// Its name.
        table: TableName,
        /// The hot table, and how long it keeps rows; none where the platform has none.
        hot: Option<(String, Millis)>,
    },
    /// Timestream.
    Timestream {
        /// The database.
        database: String,
        /// The table.
        table: String,
    },
}

#[cfg(feature = "live")]
impl AskedIn {
    fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(match variables.optional(TIMESTREAM_DATABASE) {
            None => Self::Iceberg { table: table_name(variables)?, hot: hot(variables)? },
            Some(database) => Self::Timestream { database, table: variables.required("FLEETFORM_TIMESTREAM_TABLE")? },
        })
    }
}

/// What the `query` handler knows.
#[cfg(feature = "live")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What every function knows.
    pub common: Common,
    /// Where samples are besides exported files.
    pub asked_in: AskedIn,
    /// How long after its end a day stays in the table.
    pub keep: Millis,
    /// The exported files, as the data catalog knows them: its database, and its table.
    pub exported: (String, String),
    /// Aggregates of them, as a table of the same database; none where the platform makes none.
    pub aggregates: Option<String>,
    /// The workgroup of Athena.
    pub workgroup: String,
}

#[cfg(feature = "live")]
impl Query {
    /// Reads what the `query` handler knows.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            common: Common::read(variables)?,
            asked_in: AskedIn::read(variables)?,
            keep: Millis::from_secs(seconds(variables, "FLEETFORM_WARM_RETENTION_S")?),
            exported: (
                variables.required("FLEETFORM_EXPORTED_DATABASE")?,
                variables.required("FLEETFORM_EXPORTED_TABLE")?,
            ),
            aggregates: variables.optional("FLEETFORM_AGGREGATES_TABLE"),
            workgroup: variables.required("FLEETFORM_WORKGROUP")?,
        })
    }
}

#[cfg(feature = "export")]
fn interval(text: &str) -> Option<Millis> {
    const DAY_S: u64 = 86_400;
    text.parse().ok().filter(|every| *every > 0 && DAY_S.is_multiple_of(*every)).map(Millis::from_secs)
}

#[cfg(any(feature = "export", feature = "live"))]
fn table_name(variables: &Variables<'_>) -> Result<TableName, ConfigError> {
    Ok(TableName {
        bucket_arn: variables.required("FLEETFORM_TABLE_BUCKET_ARN")?,
        namespace: variables.required("FLEETFORM_TABLE_NAMESPACE")?,
        table: variables.required("FLEETFORM_TABLE")?,
    })
}

fn hot(variables: &Variables<'_>) -> Result<Option<(String, Millis)>, ConfigError> {
    let table = variables.optional("FLEETFORM_HOT_TABLE");
    table.map(|table| Ok((table, Millis::from_secs(seconds(variables, "FLEETFORM_HOT_RETENTION_S")?)))).transpose()
}
