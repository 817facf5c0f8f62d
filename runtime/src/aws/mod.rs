//! The AWS implementations of the ports, and the setup of their clients.
//!
//! Region and credentials come from the environment that Lambda sets. Profiles, metadata services and the code for them
//! stay out of the binaries.

#[cfg(feature = "jobs")]
pub mod allow_list;
#[cfg(feature = "live")]
pub mod athena;
#[cfg(feature = "export")]
pub mod cold;
#[cfg(feature = "deliver")]
pub mod deliveries;
#[cfg(feature = "jobs")]
pub mod every_shard;
#[cfg(feature = "store")]
pub mod firehose;
#[cfg(any(feature = "live", feature = "store"))]
pub mod glue;
#[cfg(feature = "store")]
pub mod hot;
#[cfg(feature = "live")]
pub mod hot_items;
#[cfg(feature = "signed")]
pub mod iot;
#[cfg(feature = "signed")]
pub mod json;
#[cfg(feature = "evaluate")]
pub mod members;
#[cfg(feature = "evaluate")]
pub mod publisher;
#[cfg(feature = "store")]
pub mod registry;
#[cfg(any(feature = "state", feature = "deliver"))]
pub mod rule_sets;
#[cfg(feature = "deliver")]
pub mod secrets;
#[cfg(feature = "state")]
pub mod shards;
#[cfg(feature = "signed")]
pub mod signed;
#[cfg(feature = "state")]
pub mod state_log;
#[cfg(feature = "export")]
pub mod table_files;
#[cfg(feature = "signed")]
pub mod things;
#[cfg(feature = "iceberg")]
pub mod timestream;
#[cfg(any(feature = "export", feature = "live"))]
pub mod timestream_query;
#[cfg(feature = "store")]
pub mod timestream_rows;
#[cfg(feature = "jobs")]
pub mod waiting;

use std::time::Duration;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::{
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_types::SdkConfig;

use crate::{
    config::{ConfigError, Variables},
    tls,
};

/// How long a call that AWS IoT throttles is retried: twelve calls fit into a minute.
#[cfg(feature = "jobs")]
const IOT_PATIENCE: iot::Patience = iot::Patience { attempts: 4, backoff_ms: 250 };
/// The prefix that a fleet rule's row in the alerts table has in place of an episode: the row of the rule's newest
/// transition in a zone.
#[cfg(any(feature = "evaluate", feature = "deliver"))]
const FLEET: &str = "rule/";
/// The timeout for opening a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The timeout for one attempt of a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// The timeout for a call with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of attempts of a call, the first one included.
const ATTEMPTS_MAX: u32 = 3;
/// Concurrent calls to one service: enough to hide the latency, too few to trip a throttle on their own.
#[cfg(any(feature = "evaluate", feature = "store"))]
const CALLS_AT_ONCE: usize = 24;

/// Credentials, region and endpoint, which every client needs, read from the environment of a function.
#[derive(Clone, Debug)]
pub struct Access {
    config: SdkConfig,
    #[cfg(feature = "signed")]
    credentials: Credentials,
    #[cfg(feature = "signed")]
    region: String,
    /// A custom endpoint serves buckets by path, where bucket names are not host names.
    own_endpoint: bool,
}

impl Access {
    /// Reads the variables that Lambda sets, and `AWS_ENDPOINT_URL` if set.
    pub fn read(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let credentials = Credentials::new(
            variables.required("AWS_ACCESS_KEY_ID")?,
            variables.required("AWS_SECRET_ACCESS_KEY")?,
            variables.optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let region = variables.required("AWS_REGION")?;
        let endpoint = variables.optional("AWS_ENDPOINT_URL");
        let own_endpoint = endpoint.is_some();
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(tls::aws_client())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            );
        config.set_endpoint_url(endpoint);
        Ok(Self {
            config: config.build(),
            #[cfg(feature = "signed")]
            credentials,
            #[cfg(feature = "signed")]
            region,
            own_endpoint,
        })
    }

    /// Whether all calls go to a custom endpoint.
    #[cfg(feature = "store")]
    pub fn has_own_endpoint(&self) -> bool {
        self.own_endpoint
    }

    /// A client for a service by name, and the service's address without a trailing slash.
    #[cfg(feature = "signed")]
    pub fn signed(&self, http: reqwest::Client, service: &'static str) -> (signed::SignedClient, String) {
        let own = self.config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned());
        let endpoint = own.unwrap_or_else(|| address(service, &self.region));
        (signed::SignedClient::new(http, self.credentials.clone(), self.region.clone(), service), endpoint)
    }

    /// A client for one half of Timestream.
    #[cfg(feature = "iceberg")]
    pub fn timestream(&self, http: reqwest::Client, half: timestream::Half) -> timestream::Timestream {
        let (client, _) = self.signed(http, timestream::SERVICE);
        let own = self.config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned());
        let regional = own.unwrap_or_else(|| address(half.host(), &self.region));
        timestream::Timestream::new(client, regional, !self.own_endpoint)
    }

    /// A client for AWS IoT's registry. A failed function is invoked again, so no call is retried for long.
    #[cfg(feature = "jobs")]
    pub fn iot(&self, http: reqwest::Client) -> iot::Iot {
        let provider = SharedCredentialsProvider::new(self.credentials.clone());
        iot::Iot::new(http, provider, self.region.clone(), self.config.endpoint_url(), IOT_PATIENCE)
    }

    /// A client for DynamoDB.
    #[cfg(feature = "lambda")]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// A client for S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(self.own_endpoint);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client for Kinesis.
    #[cfg(feature = "state")]
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config)
    }

    /// A client for Firehose.
    #[cfg(feature = "store")]
    pub fn firehose(&self) -> aws_sdk_firehose::Client {
        aws_sdk_firehose::Client::new(&self.config)
    }

    /// A client for SNS.
    #[cfg(feature = "deliver")]
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config)
    }

    /// A client for Secrets Manager.
    #[cfg(feature = "deliver")]
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }

    /// A client for the parameter store.
    #[cfg(feature = "deliver")]
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.config)
    }
}

/// The address of a service in a region.
#[cfg(feature = "signed")]
fn address(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}")
}

/// Describes a failed call to an operator. The service's own message is left out where it may quote an item.
fn describe<E, R>(call: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or("an error without a code");
            match refusal.err().message().filter(|_| code != "ValidationException") {
                Some(message) => format!("{call}: {code}: {message}"),
                None => format!("{call}: {code}"),
            }
        }
        SdkError::TimeoutError(_) => format!("{call}: no answer in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => format!("{call}: no connection in time"),
        SdkError::DispatchFailure(failure) => {
            format!("{call}: {}", failure.as_connector_error().map_or("not sent".to_owned(), ToString::to_string))
        }
        SdkError::ResponseError(_) => format!("{call}: the answer could not be read"),
        _ => format!("{call}: the request could not be made"),
    }
}
