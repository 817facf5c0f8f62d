//! The files of a table in S3 Tables, which are read and written as S3 objects ("s3tables:GetTableData", Amazon S3 user
//! guide).

use aws_sdk_s3::Client;
use bytes::Bytes;
use fleetform_engine::drive::PortError;

use crate::{aws::describe, export::Files};

/// Files by their addresses, `s3://BUCKET/KEY`.
#[derive(Debug)]
pub struct S3Files {
    client: Client,
}

impl S3Files {
    /// Uses this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Files for S3Files {
    async fn get(&self, path: &str) -> Result<Bytes, PortError> {
        let (bucket, key) = address(path)?;
        let found = self.client.get_object().bucket(bucket).key(key).send().await;
        let found = found.map_err(|error| PortError(describe(&format!("GetObject {path}"), &error)))?;
        let body = found.body.collect().await;
        body.map(|body| body.into_bytes()).map_err(|_| PortError(format!("GetObject {path}: the body broke off")))
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), PortError> {
        let (bucket, key) = address(path)?;
        let put = self.client.put_object().bucket(bucket).key(key).body(bytes.into()).send().await;
        put.map(drop).map_err(|error| PortError(describe(&format!("PutObject {path}"), &error)))
    }
}

fn address(path: &str) -> Result<(&str, &str), PortError> {
    let address = path.strip_prefix("s3://").and_then(|address| address.split_once('/'));
    address.ok_or_else(|| PortError(format!("{path} is no address of an object")))
}
