//! The telemetry stream of a deployed platform: found, verified and written to.

use aws_sdk_kinesis::{Client, primitives::Blob};
use fleetform_generator::platform::Platform;

use crate::{
    found::{Sought, check_account, config, failed, wait},
    terminal::Stop,
};

fn sought(platform: &Platform) -> Sought {
    Sought {
        what: "the telemetry stream",
        logical_id: platform.stream.logical_id().into(),
        option: "--stream",
        output: "TelemetryStreamName",
    }
}

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
    wait(async {
        let (client, name) = open(platform, stream).await?;
        let put = client.put_record().stream_name(&name).partition_key(key).data(Blob::new(record)).send().await;
        let put = put.map_err(|error| failed("put the record", error))?;
        Ok(Stream { name, shard: put.shard_id, sequence: put.sequence_number })
    })
}

/// A client and the name of a platform's stream, which is found unless it is named, and verified.
pub(crate) async fn open(platform: &Platform, stream: Option<&str>) -> Result<(Client, String), Stop> {
    let client = Client::new(&config(platform).await?);
    let name = match stream {
        Some(name) => name.to_owned(),
        None => find(&client, platform).await?,
    };
    let described = client.describe_stream_summary().stream_name(&name).send().await;
    let described = described.map_err(|error| failed(&format!("find stream `{name}`"), error))?;
    let arn = described.stream_description_summary.map(|summary| summary.stream_arn).unwrap_or_default();
    check_account(platform, &format!("stream `{name}`"), &arn)?;
    Ok((client, name))
}

/// The stream that the environment's stack made.
async fn find(client: &Client, platform: &Platform) -> Result<String, Stop> {
    let mut pages = client.list_streams().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.extend(page.map_err(|error| failed("list streams", error))?.stream_names);
    }
    sought(platform).among(names, platform)
}
