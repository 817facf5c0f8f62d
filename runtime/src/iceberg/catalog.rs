//! Where an Iceberg table's metadata is read and committed to.

#[cfg(feature = "iceberg")]
mod rest;

use fleetform_engine::drive::PortError;
use serde_json::Value;

use super::{Metadata, TableName};

#[cfg(feature = "iceberg")]
pub use rest::RestCatalog;

/// Where a table's metadata is read and committed to.
pub trait Catalog: Sync {
    /// A table's metadata; none if there is no such table.
    fn load(&self, table: &TableName) -> impl Future<Output = Result<Option<Metadata>, PortError>> + Send;

    /// Commits. `false` if the table has changed since its metadata was read.
    fn commit(&self, table: &TableName, commit: &Value) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// A part of a path with everything encoded but what never needs it.
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
