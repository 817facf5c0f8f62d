//! Access to the metadata of an Iceberg table, for reading and committing.

#[cfg(feature = "iceberg")]
mod rest;

use fleetform_engine::drive::PortError;
use serde_json::Value;

use super::{Metadata, TableName};

#[cfg(feature = "iceberg")]
pub use rest::RestCatalog;

/// The port to a table's metadata.
pub trait Catalog: Sync {
    /// Reads a table's metadata; `None` if the table does not exist.
    fn load(&self, table: &TableName) -> impl Future<Output = Result<Option<Metadata>, PortError>> + Send;

    /// Commits. Returns `false` if the table has changed since its metadata was read.
    fn commit(&self, table: &TableName, commit: &Value) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// A part of a path, with every character encoded except those that never need it.
pub(crate) fn encoded(part: &str) -> String {
    part.bytes().fold(String::new(), |text, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            text + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => text + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_a_path_is_the_bucket_s_arn_encoded() {
        assert_eq!(
            encoded("arn:aws:s3tables:us-east-1:1:bucket/a-b"),
            "arn%3Aaws%3As3tables%3Aus-east-1%3A1%3Abucket%2Fa-b"
        );
    }
}
