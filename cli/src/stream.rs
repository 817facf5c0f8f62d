//! The telemetry stream of a deployed platform: found, made sure of, and written to.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::{Client, error::DisplayErrorContext, primitives::Blob};
use fleetform_generator::platform::Platform;

use crate::terminal::Stop;

/// Where a record was put.
pub(crate) struct Stream {
    /// The stream's name.
    pub(crate) name: String,
    /// The record's shard.
    pub(crate) shard: String,
    /// Its sequence number.
    pub(crate) sequence: String,
}

/// Puts a record on a platform's stream, which is found unless it is named.
pub(crate) fn put(platform: &Platform, stream: Option<&str>, key: &str, record: Vec<u8>) -> Result<Stream, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format_args!("cannot start: {error}")))?;
    runtime.block_on(async {
        let region = Region::new(platform.environment.region.to_string());
        let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let client = Client::new(&config);
        let name = match stream {
            Some(name) => name.to_owned(),
            None => find(&client, platform).await?,
        };
        check_account(&client, platform, &name).await?;
        let put = client.put_record().stream_name(&name).partition_key(key).data(Blob::new(record)).send().await;
        let put = put.map_err(|error| failed("put the record", error))?;
        Ok(Stream { name, shard: put.shard_id, sequence: put.sequence_number })
    })
}

/// The stream that CloudFormation named after the environment's stack. In the name a logical id follows the stack's
/// name, and it begins with a capital letter, as no other environment's name does.
async fn find(client: &Client, platform: &Platform) -> Result<String, Stop> {
    let stack = format!("{}-{}-", platform.deploy.prefix, platform.environment.id);
    let mut pages = client.list_streams().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed("list streams", error))?;
        found.extend(page.stream_names.into_iter().filter(|name| is_telemetry(name, &stack)));
    }
    match found.as_slice() {
        [name] => Ok(name.clone()),
        [] => Err(Stop::failed(format_args!("there is no telemetry stream of `{}`", stack.trim_end_matches('-')))
            .help("deploy the environment, or name the stream with --stream")),
        several => Err(Stop::failed(format_args!("these may all be the telemetry stream: {}", several.join(", ")))
            .help("name it with --stream: it is the stack's output TelemetryStreamName")),
    }
}

fn is_telemetry(name: &str, stack: &str) -> bool {
    name.strip_prefix(stack).is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_ascii_uppercase()) && rest.contains("TelemetryStream")
    })
}

/// Ends the command if the stream lies in another account than the platform file says.
async fn check_account(client: &Client, platform: &Platform, name: &str) -> Result<(), Stop> {
    let described = client.describe_stream_summary().stream_name(name).send().await;
    let described = described.map_err(|error| failed(&format!("find stream `{name}`"), error))?;
    let arn = described.stream_description_summary.map(|summary| summary.stream_arn).unwrap_or_default();
    let account = arn.split(':').nth(4).unwrap_or_default();
    if account == platform.environment.account {
        return Ok(());
    }
    Err(Stop::failed(format_args!(
        "stream `{name}` lies in account {account}, and environment `{}` in {}",
        platform.environment.id, platform.environment.account
    ))
    .help("take credentials of the right account"))
}

fn failed(what: &str, error: impl std::error::Error) -> Stop {
    Stop::failed(format_args!("cannot {what}: {}", DisplayErrorContext(error)))
}

#[cfg(test)]
mod tests {
    use super::is_telemetry;

    #[test]
    fn another_environments_stream_is_not_taken() {
        let stack = "riverton-water-dev-";
        assert!(is_telemetry("riverton-water-dev-Ingest-1A2B3C-TelemetryStream-9Z8Y7X", stack));
        assert!(!is_telemetry("riverton-water-dev-2-Ingest-1A2B3C-TelemetryStream-9Z8Y7X", stack));
        assert!(!is_telemetry("riverton-water-prod-Ingest-1A2B3C-TelemetryStream-9Z8Y7X", stack));
        assert!(!is_telemetry("riverton-water-dev-Ingest-1A2B3C-OtherStream-9Z8Y7X", stack));
    }
}
