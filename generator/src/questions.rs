//! The questions that users commonly start with, as files that `fleetform query` reads.

use fleetform_engine::{
    rows::{columns::columns, sql},
    units::Millis,
};

use crate::{
    platform::{Platform, storage::Engine},
    rule_set::without_rules,
};

/// How far back rolling values are reported; samples must go back one hour further.
pub(crate) const ROLLING_HOURS: u64 = 6;

/// A question and its file.
pub(crate) struct Question {
    /// The file name.
    pub(crate) file: &'static str,
    /// SQL about `samples`, with instructions for running it.
    pub(crate) text: String,
}

/// Returns the questions in the SQL dialect of the sample store; none if nothing stores samples, or no reading is a
/// number.
pub(crate) fn questions(platform: &Platform) -> Vec<Question> {
    let Some(kept) = &platform.storage else { return Vec::new() };
    let columns = columns(&without_rules(platform)).expect("readings that fit into no table do not pass the checks");
    if sql::numbers(&columns).next().is_none() {
        return Vec::new();
    }
    let length = Millis::from_secs(ROLLING_HOURS * 3_600);
    let rolling = match kept.engine {
        Engine::Iceberg => sql::rolling_hour(&columns, &format!("current_timestamp - INTERVAL '{ROLLING_HOURS}' HOUR")),
        Engine::Timestream { .. } => sql::timestream::rolling_hour(&columns, &sql::timestream::ago(length)),
    };
    let environment = &platform.environment.id;
    let question = |file, title: &str, options: &str, sql: &str| {
        let ask = format!("fleetform query --env {environment} {options} @out/{environment}/queries/{file}");
        Question { file, text: format!("-- {title}:\n-- {ask}\n{sql}\n") }
    };
    vec![
        question(
            "hourly.sql",
            "Mean and maximum of every number by device and hour",
            "--zone ZONE --last 24h",
            &sql::hourly(&columns),
        ),
        question(
            "rolling-hour.sql",
            &format!("Every value of the last {ROLLING_HOURS} hours, with the mean of the hour that ends with it"),
            &format!("--zone ZONE --last {}h", ROLLING_HOURS + 1),
            &rolling,
        ),
    ]
}
