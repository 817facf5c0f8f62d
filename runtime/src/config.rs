//! Configuration from environment variables, read once at start and kept as types. An error names the variable and its
//! rule.
//!
//! Does not depend on where the values come from: it calls a lookup function, so a test needs no process environment.

mod samples;

use fleetform_engine::{
    ids::{EnvironmentId, PlatformName},
    units::Millis,
};

#[cfg(feature = "live")]
pub use samples::{AskedIn, Query};
#[cfg(feature = "export")]
pub use samples::{DaysFrom, Export};
pub use samples::{RowsGo, Store};

/// Why a function cannot start with its environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("the environment variable `{name}` is not set")]
    Missing {
        /// The variable's name.
        name: &'static str,
    },
    /// The variable has a value that is not allowed. The value is not repeated: logs outlive mistakes.
    #[error("the environment variable `{name}` is not {expected}")]
    Invalid {
        /// The variable's name.
        name: &'static str,
        /// A description of what is allowed.
        expected: &'static str,
    },
}

/// The environment, as a function from a name to a value.
pub struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Variables<'a> {
    /// Reads variables with `lookup`.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    /// Returns an optional value. An empty string counts as absent: a template has no other way to leave it out.
    pub fn optional(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns a required value.
    pub fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        self.optional(name).ok_or(ConfigError::Missing { name })
    }

    /// Returns a required value, parsed.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        parse(&self.required(name)?).ok_or(ConfigError::Invalid { name, expected })
    }
}

/// Reads the process environment.
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration that every function has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The platform, a dimension of every metric.
    pub platform: PlatformName,
    /// The environment, a dimension of every metric.
    pub environment: EnvironmentId,
}

impl Common {
    /// Reads the configuration that every function has.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            platform: variables.parsed("FLEETFORM_PLATFORM", "a platform name", |text| PlatformName::new(text).ok())?,
            environment: variables
                .parsed("FLEETFORM_ENVIRONMENT", "an environment id", |text| EnvironmentId::new(text).ok())?,
        })
    }
}

/// The configuration of the `evaluate` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluate {
    /// The configuration that every function has.
    pub common: Common,
    /// The name of the bucket with the rule sets.
    pub artifact_bucket: String,
    /// The rule set for a shard that has not had one yet: its SHA-256 in hexadecimal.
    pub rule_set_sha256: String,
    /// The name of the bucket with the state log.
    pub state_bucket: String,
    /// The ARN of the telemetry stream.
    pub stream_arn: String,
    /// The age at which the event source discards a record.
    pub record_age_max: Millis,
    /// The generation of the stream, part of every key of the state log; a new stream gets a new number.
    pub stream_generation: u32,
    /// The number of the repair, part of every key of the state log; a repaired chain gets a new number.
    pub state_repair: u32,
    /// The name of the table of notices to send.
    pub outbox_table: String,
    /// The name of the table with the alert history.
    pub alerts_table: String,
    /// The name of the table with quarantined records.
    pub quarantine_table: String,
    /// The longest time between two bases of a shard's state.
    pub checkpoint_every: Millis,
    /// How long a row of the alert history is kept.
    pub alert_retention: Millis,
}

impl Evaluate {
    /// Reads the configuration of the `evaluate` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let seconds = |name| seconds(variables, name);
        let number = |name| number(variables, name);
        Ok(Self {
            common: Common::read(variables)?,
            artifact_bucket: variables.required("FLEETFORM_ARTIFACT_BUCKET")?,
            rule_set_sha256: rule_set_sha256(variables)?,
            state_bucket: variables.required("FLEETFORM_STATE_BUCKET")?,
            stream_arn: stream_arn(variables)?,
            record_age_max: Millis::from_secs(seconds("FLEETFORM_RECORD_AGE_MAX_S")?),
            stream_generation: number("FLEETFORM_STREAM_GENERATION")?,
            state_repair: number("FLEETFORM_STATE_REPAIR")?,
            outbox_table: variables.required("FLEETFORM_OUTBOX_TABLE")?,
            alerts_table: variables.required("FLEETFORM_ALERTS_TABLE")?,
            quarantine_table: variables.required("FLEETFORM_QUARANTINE_TABLE")?,
            checkpoint_every: Millis::from_secs(seconds("FLEETFORM_CHECKPOINT_EVERY_S")?),
            alert_retention: Millis::from_secs(seconds("FLEETFORM_ALERT_RETENTION_S")?),
        })
    }
}

/// The configuration of the `notify` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The configuration that every function has.
    pub common: Common,
    /// The name of the bucket with the rule sets.
    pub artifact_bucket: String,
    /// The name of the table of deliveries.
    pub deliveries_table: String,
    /// The name of the table of notices to send.
    pub outbox_table: String,
    /// The name of the table with the alert history.
    pub alerts_table: String,
    /// The prefix of every topic's ARN; `<contact>-<channel>` follows.
    pub topic_arn_prefix: String,
    /// The number or name that text messages are sent from; `None` if no contact has a phone.
    pub sms_origination: Option<String>,
}

impl Notify {
    /// Reads the configuration of the `notify` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            common: Common::read(variables)?,
            artifact_bucket: variables.required("FLEETFORM_ARTIFACT_BUCKET")?,
            deliveries_table: variables.required("FLEETFORM_DELIVERIES_TABLE")?,
            outbox_table: variables.required("FLEETFORM_OUTBOX_TABLE")?,
            alerts_table: variables.required("FLEETFORM_ALERTS_TABLE")?,
            topic_arn_prefix: variables.parsed(
                "FLEETFORM_TOPIC_ARN_PREFIX",
                "the beginning of a topic's ARN, ending in `-`",
                |text| (text.starts_with("arn:") && text.ends_with('-')).then(|| text.to_owned()),
            )?,
            sms_origination: variables.optional("FLEETFORM_SMS_ORIGINATION"),
        })
    }
}

/// The configuration of the `sweep` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The configuration that every function has.
    pub common: Common,
    /// The name of the bucket with the state log.
    pub state_bucket: String,
    /// The ARN of the telemetry stream.
    pub stream_arn: String,
    /// The generation of the stream, part of every key of the state log; a new stream gets a new number.
    pub stream_generation: u32,
    /// The number of the repair, part of every key of the state log; a repaired chain gets a new number.
    pub state_repair: u32,
    /// The name of the table of notices to send.
    pub outbox_table: String,
}

impl Sweep {
    /// Reads the configuration of the `sweep` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            common: Common::read(variables)?,
            state_bucket: variables.required("FLEETFORM_STATE_BUCKET")?,
            stream_arn: stream_arn(variables)?,
            stream_generation: number(variables, "FLEETFORM_STREAM_GENERATION")?,
            state_repair: number(variables, "FLEETFORM_STATE_REPAIR")?,
            outbox_table: variables.required("FLEETFORM_OUTBOX_TABLE")?,
        })
    }
}

/// The configuration of the `relay` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The configuration that every function has.
    pub common: Common,
    /// The ARN of the telemetry stream.
    pub stream_arn: String,
}

impl Relay {
    /// Reads the configuration of the `relay` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self { common: Common::read(variables)?, stream_arn: stream_arn(variables)? })
    }
}

/// The configuration of the `provision` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// The configuration that every function has.
    pub common: Common,
    /// The name of the table with the serials that may be provisioned.
    pub allow_list_table: String,
    /// The ARN of the telemetry stream.
    pub stream_arn: String,
    /// What things, thing types and groups of the platform are told by.
    pub stack: String,
}

impl Provision {
    /// Reads the configuration of the `provision` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            common: Common::read(variables)?,
            allow_list_table: variables.required("FLEETFORM_ALLOW_LIST_TABLE")?,
            stream_arn: stream_arn(variables)?,
            stack: variables.required("FLEETFORM_STACK")?,
        })
    }
}

/// The configuration of the `register` handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The part that it shares with the `provision` handler.
    pub provision: Provision,
    /// The policies that every device has.
    pub policies: Vec<String>,
    /// The ids of the CA certificates of the platform's authorities.
    pub authorities: Vec<String>,
}

impl Register {
    /// Reads the configuration of the `register` handler.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let list = |name| Ok(variables.required(name)?.split(',').map(str::to_owned).collect());
        Ok(Self {
            provision: Provision::read(variables)?,
            policies: list("FLEETFORM_DEVICE_POLICIES")?,
            authorities: list("FLEETFORM_AUTHORITIES")?,
        })
    }
}

fn rule_set_sha256(variables: &Variables<'_>) -> Result<String, ConfigError> {
    variables.parsed("FLEETFORM_RULE_SET_SHA256", "64 lowercase hexadecimal digits", |text| {
        is_sha256(text).then(|| text.to_owned())
    })
}

fn seconds(variables: &Variables<'_>, name: &'static str) -> Result<u64, ConfigError> {
    variables.parsed(name, "a whole number of seconds", |text| text.parse().ok())
}

fn stream_arn(variables: &Variables<'_>) -> Result<String, ConfigError> {
    variables
        .parsed("FLEETFORM_STREAM_ARN", "the ARN of a stream", |text| text.starts_with("arn:").then(|| text.to_owned()))
}

fn number(variables: &Variables<'_>, name: &'static str) -> Result<u32, ConfigError> {
    variables.parsed(name, "a whole number", |text| text.parse().ok())
}

/// Whether a string is a SHA-256 as artifacts spell it.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn complete() -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("FLEETFORM_PLATFORM", "riverton-water".to_owned()),
            ("FLEETFORM_ENVIRONMENT", "dev".to_owned()),
            ("FLEETFORM_ARTIFACT_BUCKET", "artifacts".to_owned()),
            ("FLEETFORM_RULE_SET_SHA256", "0".repeat(64)),
            ("FLEETFORM_STATE_BUCKET", "state".to_owned()),
            ("FLEETFORM_STREAM_ARN", "arn:aws:kinesis:us-east-1:111111111111:stream/telemetry".to_owned()),
            ("FLEETFORM_RECORD_AGE_MAX_S", "21600".to_owned()),
            ("FLEETFORM_STREAM_GENERATION", "1".to_owned()),
            ("FLEETFORM_STATE_REPAIR", "0".to_owned()),
            ("FLEETFORM_OUTBOX_TABLE", "outbox".to_owned()),
            ("FLEETFORM_ALERTS_TABLE", "alerts".to_owned()),
            ("FLEETFORM_QUARANTINE_TABLE", "quarantine".to_owned()),
            ("FLEETFORM_CHECKPOINT_EVERY_S", "300".to_owned()),
            ("FLEETFORM_ALERT_RETENTION_S", "31536000".to_owned()),
            ("FLEETFORM_ALLOW_LIST_TABLE", "allow-list".to_owned()),
            ("FLEETFORM_AUTHORITIES", "aa,bb".to_owned()),
            ("FLEETFORM_DEVICE_POLICIES", "water-dev-core".to_owned()),
            ("FLEETFORM_STACK", "water-dev".to_owned()),
            ("FLEETFORM_DELIVERY_STREAM", "samples".to_owned()),
            ("FLEETFORM_REGISTRATIONS_TABLE", "registrations".to_owned()),
            ("FLEETFORM_DELIVERIES_TABLE", "deliveries".to_owned()),
            ("FLEETFORM_TABLE_BUCKET_ARN", "arn:aws:s3tables:us-east-1:111111111111:bucket/samples".to_owned()),
            ("FLEETFORM_TABLE_NAMESPACE", "telemetry".to_owned()),
            ("FLEETFORM_TABLE", "samples".to_owned()),
            ("FLEETFORM_COLD_BUCKET", "cold".to_owned()),
            ("FLEETFORM_EXPORT_PARTITION_BY", "zone,day".to_owned()),
            ("FLEETFORM_EXPORT_AFTER_S", "86400".to_owned()),
            ("FLEETFORM_EXPORT_COMPRESSION", "zstd".to_owned()),
            ("FLEETFORM_EXPORTED_DATABASE", "water_dev_samples".to_owned()),
            ("FLEETFORM_EXPORTED_TABLE", "exported".to_owned()),
            ("FLEETFORM_WORKGROUP", "water-dev-samples".to_owned()),
            ("FLEETFORM_WARM_RETENTION_S", "2592000".to_owned()),
            ("FLEETFORM_TOPIC_ARN_PREFIX", "arn:aws:sns:us-east-1:111111111111:riverton-water-dev-".to_owned()),
        ])
    }

    #[test]
    fn every_variable_is_missed_by_name() {
        let variables = complete();
        let read = |variables: &BTreeMap<&'static str, String>| {
            let lookup = |name: &str| variables.get(name).cloned();
            let variables = Variables::new(&lookup);
            Evaluate::read(&variables)?;
            Sweep::read(&variables)?;
            Relay::read(&variables)?;
            Provision::read(&variables)?;
            assert_eq!(Register::read(&variables)?.authorities, ["aa", "bb"]);
            assert_eq!(Store::read(&variables)?.hot, None);
            assert_eq!(Export::read(&variables)?.group_rows, Export::GROUP_ROWS);
            assert_eq!((Export::read(&variables)?.downsample, Query::read(&variables)?.aggregates), (None, None));
            assert_eq!(Query::read(&variables)?.exported.1, "exported");
            Notify::read(&variables)
        };
        assert_eq!(read(&variables).expect("complete").sms_origination, None);
        for name in variables.keys() {
            for spoilt in [None, Some(String::new())] {
                let mut variables = variables.clone();
                match spoilt {
                    None => variables.remove(name),
                    Some(value) => variables.insert(name, value),
                };
                assert_eq!(read(&variables), Err(ConfigError::Missing { name }));
            }
        }
    }

    #[test]
    fn samples_are_in_timestream_where_there_is_one() {
        let mut variables = complete();
        variables.remove("FLEETFORM_DELIVERY_STREAM");
        variables.insert("FLEETFORM_TIMESTREAM_DATABASE", "water".to_owned());
        variables.insert("FLEETFORM_TIMESTREAM_TABLE", "samples".to_owned());
        let read = |variables: &BTreeMap<&'static str, String>| {
            let lookup = |name: &str| variables.get(name).cloned();
            Store::read(&Variables::new(&lookup)).map(|store| store.rows)
        };
        assert_eq!(read(&variables), Err(ConfigError::Missing { name: "FLEETFORM_UNDELIVERED_BUCKET" }));
        variables.insert("FLEETFORM_UNDELIVERED_BUCKET", "undelivered".to_owned());
        let [database, table, undelivered_bucket] = ["water", "samples", "undelivered"].map(str::to_owned);
        let rows = RowsGo::Timestream { database: database.clone(), table: table.clone(), undelivered_bucket };
        assert_eq!(read(&variables), Ok(rows));
        let read = |variables: &BTreeMap<&'static str, String>| {
            let lookup = |name: &str| variables.get(name).cloned();
            Export::read(&Variables::new(&lookup)).map(|export| export.days_from)
        };
        assert_eq!(read(&variables), Err(ConfigError::Missing { name: "FLEETFORM_KEY_ARN" }));
        let key_arn = "arn:aws:kms:us-east-1:111111111111:key/k".to_owned();
        variables.insert("FLEETFORM_KEY_ARN", key_arn.clone());
        assert_eq!(read(&variables), Ok(DaysFrom::Timestream { database, table, key_arn }));
    }

    #[test]
    fn aggregates_come_with_how_long_samples_are_kept() {
        let mut variables = complete();
        let read = |variables: &BTreeMap<&'static str, String>| {
            let lookup = |name: &str| variables.get(name).cloned();
            Export::read(&Variables::new(&lookup)).map(|export| export.downsample)
        };
        variables.insert("FLEETFORM_DOWNSAMPLE_S", "3600".to_owned());
        assert_eq!(read(&variables), Err(ConfigError::Missing { name: "FLEETFORM_COLD_RETENTION_S" }));
        variables.insert("FLEETFORM_COLD_RETENTION_S", "86400".to_owned());
        let [every, until] = [3_600, 86_400].map(Millis::from_secs);
        assert_eq!(read(&variables), Ok(Some(crate::export::downsample::Downsample { every, until })));
        for wrong in ["0", "7000", "an hour"] {
            variables.insert("FLEETFORM_DOWNSAMPLE_S", wrong.to_owned());
            let expected = "seconds that divide a day";
            assert_eq!(read(&variables), Err(ConfigError::Invalid { name: "FLEETFORM_DOWNSAMPLE_S", expected }));
        }
    }

    #[test]
    fn a_hot_table_comes_with_its_retention() {
        let mut variables = complete();
        variables.insert("FLEETFORM_HOT_TABLE", "hot".to_owned());
        let read = |variables: &BTreeMap<&'static str, String>| {
            let lookup = |name: &str| variables.get(name).cloned();
            Store::read(&Variables::new(&lookup)).map(|store| store.hot)
        };
        assert_eq!(read(&variables), Err(ConfigError::Missing { name: "FLEETFORM_HOT_RETENTION_S" }));
        variables.insert("FLEETFORM_HOT_RETENTION_S", "86400".to_owned());
        assert_eq!(read(&variables), Ok(Some(("hot".to_owned(), Millis::from_days(1)))));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_rule_and_not_repeated() {
        for (name, value) in [
            ("FLEETFORM_RULE_SET_SHA256", "latest"),
            ("FLEETFORM_CHECKPOINT_EVERY_S", "5m"),
            ("FLEETFORM_STREAM_GENERATION", "-1"),
            ("FLEETFORM_PLATFORM", "Riverton Water"),
        ] {
            let mut variables = complete();
            variables.insert(name, value.to_owned());
            let lookup = |name: &str| variables.get(name).cloned();
            let error = Evaluate::read(&Variables::new(&lookup)).expect_err(name).to_string();
            assert!(error.contains(name) && !error.contains(value), "{error}");
        }
    }
}
