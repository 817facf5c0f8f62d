//! The configuration of the functions that store, export and query samples.

use fleetform_engine::units::Millis;

use super::{Common, ConfigError, Variables, number, rule_set_sha256, seconds, stream_arn};
#[cfg(any(feature = "export", feature = "live"))]
use crate::iceberg::TableName;

/// Where `store` puts rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsGo {
    /// A Firehose stream, which delivers to a table of Amazon S3 Tables.
    Firehose {
        /// The name of the Firehose stream.
        delivery_stream: String,
    },
    /// Timestream.
    Timestream {
        /// The name of the database.
        database: String,
        /// The name of the table.
        table: String,
        /// The name of the bucket for rows that Timestream refuses.
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

/// The variable with the name of the database, if samples are in Timestream.
const TIMESTREAM_DATABASE: &str = "FLEETFORM_TIMESTREAM_DATABASE";

/// The configuration of the `store` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The configuration that every function has.
    pub common: Common,
    /// The name of the bucket with the rule sets.
    pub artifact_bucket: String,
    /// The rule set for parsing messages: its SHA-256 in hexadecimal.
    pub rule_set_sha256: String,
    /// The name of the bucket with the state log.
    pub state_bucket: String,
    /// The ARN of the telemetry stream.
    pub stream_arn: String,
    /// The stream's generation.
    pub stream_generation: u32,
    /// The number of the repair whose chains of the state log are in use.
    pub state_repair: u32,
    /// The destination of rows.
    pub rows: RowsGo,
    /// The name of the table with the histories of devices.
    pub registrations_table: String,
    /// The name of the hot table, and how long it keeps rows; `None` if the platform has none.
    pub hot: Option<(String, Millis)>,
}

impl Store {
    /// Reads the configuration of the `store` handler.
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
        /// The name of the database.
        database: String,
        /// The name of the table.
        table: String,
        /// The ARN of the KMS key that encrypts what Timestream writes.
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

/// The configuration of the `export` handler.
#[cfg(feature = "export")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The configuration that every function has.
    pub common: Common,
    /// The table of samples.
    pub days_from: DaysFrom,
    /// The name of the bucket for exports.
    pub cold_bucket: String,
    /// How object keys are built.
    pub layout: crate::export::manifest::Layout,
    /// How long after its end a day is exported.
    pub after: Millis,
    /// How long after its end a day stays in the table.
    pub keep: Millis,
    /// Maximum rows that are held at once.
    pub group_rows: u64,
    /// How objects are compressed.
    pub codec: crate::frame::parquet::Codec,
    /// Which aggregates are exported alongside; `None` for no aggregates.
    pub downsample: Option<crate::export::downsample::Downsample>,
}

#[cfg(feature = "export")]
impl Export {
    /// The default for rows held at once: what fits into a function's memory in addition to an object.
    pub(super) const GROUP_ROWS: u64 = 2_000_000;

    /// Reads the configuration of the `export` handler.
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

/// Where `query` finds samples apart from exported files.
#[cfg(feature = "live")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedIn {
    /// A table of Amazon S3 Tables.
    Iceberg {
        /// The full name of the table.
        table: TableName,
        /// The name of the hot table, and how long it keeps rows; `None` if the platform has none.
        hot: Option<(String, Millis)>,
    },
    /// Timestream.
    Timestream {
        /// The name of the database.
        database: String,
        /// The name of the table.
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

/// The configuration of the `query` handler.
#[cfg(feature = "live")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The configuration that every function has.
    pub common: Common,
    /// Where samples are found apart from exported files.
    pub asked_in: AskedIn,
    /// How long after its end a day stays in the table.
    pub keep: Millis,
    /// The names of the database and of the table of exported files in the data catalog.
    pub exported: (String, String),
    /// The name of the table of their aggregates in the same database; `None` if the platform has none.
    pub aggregates: Option<String>,
    /// The name of the Athena workgroup.
    pub workgroup: String,
}

#[cfg(feature = "live")]
impl Query {
    /// Reads the configuration of the `query` handler.
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
