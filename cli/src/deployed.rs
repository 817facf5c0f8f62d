//! A deployed platform as its function `evaluate` sees it: where its state, its stream and what was set aside are.
//!
//! What a chain means is decided by the engine, and how its objects are read and written by the runtime.

use std::{borrow::Cow, collections::HashMap, str::FromStr, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_lambda::{
    operation::get_function_configuration::GetFunctionConfigurationOutput, types::EventSourceMappingConfiguration,
};
use clap::Args;
use fleetform_engine::{
    drive::Settings,
    units::{Millis, Timestamp},
};
use fleetform_generator::platform::Platform;
use fleetform_runtime::aws::{rule_sets::RuleSets, shards::KinesisShards, state_log::S3StateLog};

pub(crate) use crate::clock::now;
use crate::{
    found::{self, Sought, check_account, failed},
    function,
    input::{self, DEFAULT_FILE},
    terminal::Stop,
};

/// Time for the create of an object that may hold the whole state of a shard, over any line.
const CREATE_TIMEOUT: Duration = Duration::from_secs(600);

/// Tries of one read of the stream. The wait before each is random, up to twice the last and to 20 s.
const READ_ATTEMPTS: u32 = 12;

const SOUGHT: Sought = Sought {
    what: "the function `evaluate`",
    logical_id: Cow::Borrowed("EvaluateFunction"),
    option: "--function",
    output: "EvaluateFunctionName",
};

/// The platform as its function `evaluate` sees it.
pub(crate) struct Deployed {
    /// How long one run of it may take.
    pub(crate) time_out: Millis,
    /// Its view of the state log.
    pub(crate) settings: Settings,
    pub(crate) log: S3StateLog,
    pub(crate) rule_sets: RuleSets,
    pub(crate) stream: KinesisShards,
    pub(crate) stream_arn: String,
    /// The table of records that were set aside.
    pub(crate) quarantine_table: String,
    /// Credentials and region of the clients.
    pub(crate) config: SdkConfig,
    /// The event source that feeds it.
    pub(crate) mapping: Mapping,
}

/// An event source of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Its id.
    pub(crate) id: String,
    /// Its state, as Lambda spells it.
    pub(crate) state: String,
    /// Since when.
    pub(crate) since: Timestamp,
    /// The bucket of batches that it gave up on.
    pub(crate) failure_bucket: Option<String>,
}

impl Deployed {
    /// Finds the function, unless it is named, and reads from its configuration where everything is.
    pub(crate) async fn find(platform: &Platform, function: Option<&str>) -> Result<Self, Stop> {
        let config = found::config(platform).await?;
        let lambda = aws_sdk_lambda::Client::new(&config);
        let name = match function {
            Some(name) => name.to_owned(),
            None => function::find(&lambda, platform, &SOUGHT).await?,
        };
        let found = lambda.get_function_configuration().function_name(&name).send().await;
        let found = found.map_err(|error| failed(&format!("read the configuration of `{name}`"), error))?;
        check_account(platform, &format!("function `{name}`"), found.function_arn().unwrap_or_default())?;
        let stream = variable::<String>(&found, "FLEETFORM_STREAM_ARN")?;
        let mappings = lambda.list_event_source_mappings().function_name(&name).event_source_arn(&stream);
        let mappings = mappings.send().await.map_err(|error| failed("list event sources", error))?;
        let mappings = mappings.event_source_mappings.unwrap_or_default();
        let [mapping] = mappings.as_slice() else {
            return Err(Stop::failed(format_args!("`{name}` has {} event sources on {stream}", mappings.len())));
        };
        Ok(Self {
            time_out: Millis::from_secs(found.timeout().and_then(|seconds| seconds.try_into().ok()).unwrap_or(900)),
            settings: Settings {
                generation: variable(&found, "FLEETFORM_STREAM_GENERATION")?,
                repair: variable(&found, "FLEETFORM_STATE_REPAIR")?,
                rule_set_sha256: variable(&found, "FLEETFORM_RULE_SET_SHA256")?,
                checkpoint_every: Millis::from_secs(variable(&found, "FLEETFORM_CHECKPOINT_EVERY_S")?),
                record_age_max: Millis::from_secs(variable(&found, "FLEETFORM_RECORD_AGE_MAX_S")?),
            },
            log: S3StateLog::new(s3(&config), variable(&found, "FLEETFORM_STATE_BUCKET")?)
                .with_create_timeout(CREATE_TIMEOUT),
            rule_sets: RuleSets::new(s3(&config), variable(&found, "FLEETFORM_ARTIFACT_BUCKET")?),
            stream: KinesisShards::new(kinesis(&config), stream.clone()),
            stream_arn: stream,
            quarantine_table: variable(&found, "FLEETFORM_QUARANTINE_TABLE")?,
            mapping: Mapping::read(mapping)?,
            config,
        })
    }
}

impl Mapping {
    fn read(mapping: &EventSourceMappingConfiguration) -> Result<Self, Stop> {
        let since = mapping.last_modified().and_then(|at| at.to_millis().ok());
        match (mapping.uuid(), mapping.state(), since) {
            (Some(id), Some(state), Some(since)) => {
                let destination = mapping.destination_config().and_then(|destinations| destinations.on_failure());
                let arn = destination.and_then(|destination| destination.destination()).unwrap_or_default();
                let failure_bucket = arn.split_once(":s3:::").map(|(_, bucket)| bucket.to_owned());
                Ok(Self { id: id.to_owned(), state: state.to_owned(), since: Timestamp(since), failure_bucket })
            }
            _ => Err(Stop::failed("Lambda does not report the state of the event source")),
        }
    }
}

/// Which deployed platform.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// The function `evaluate`; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
}

impl Target {
    /// Does something with the deployed platform.
    pub(crate) fn with<T>(&self, act: impl AsyncFnOnce(Deployed) -> Result<T, Stop>) -> Result<T, Stop> {
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        found::wait(async { act(Deployed::find(platform, self.function.as_deref()).await?).await })
    }
}

/// A shard read from beginning to end is read faster than it answers: after an answer of 10 MiB it refuses all others
/// for five seconds ("GetRecords", Amazon Kinesis Data Streams API reference). A read waits for half a minute and more.
fn kinesis(config: &SdkConfig) -> aws_sdk_kinesis::Client {
    let patient = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS);
    aws_sdk_kinesis::Client::from_conf(aws_sdk_kinesis::config::Builder::from(config).retry_config(patient).build())
}

pub(crate) fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    // A custom endpoint serves buckets by path: bucket names are not host names there.
    let own = config.endpoint_url().is_some();
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(own).build())
}

fn variable<T: FromStr>(function: &GetFunctionConfigurationOutput, name: &str) -> Result<T, Stop> {
    let variables = function.environment().and_then(|environment| environment.variables());
    let value = variables.and_then(|variables: &HashMap<String, String>| variables.get(name));
    value.and_then(|value| value.parse().ok()).ok_or_else(|| {
        Stop::failed(format_args!("the function has no usable variable `{name}`"))
            .help("is it the function `evaluate`, deployed by this version?")
    })
}
