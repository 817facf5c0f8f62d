//! The data catalog of AWS Glue.

use fleetform_engine::drive::PortError;
use serde_json::{Value, json};

use super::json::{JsonClient, Protocol};
use crate::data_catalog::{DataCatalog, Exported};

/// AWS Glue's protocol.
pub const PROTOCOL: Protocol = Protocol { service: "AWSGlue", content_type: "application/x-amz-json-1.1" };

/// The data catalog of the account and region.
#[derive(Debug)]
pub struct Glue(pub JsonClient);

impl DataCatalog for Glue {
    async fn find(&self, database: &str, table: &str) -> Result<Option<Value>, PortError> {
        let input = json!({ "DatabaseName": database, "Name": table });
        match self.0.call::<Value>("GetTable", &input).await {
            Ok(mut found) => Ok(Some(found["Table"].take())),
            Err(error) if error.is("EntityNotFoundException") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn put(&self, exported: &Exported, table: Value, there: bool) -> Result<(), PortError> {
        let mut input = json!({ "DatabaseName": exported.database, "TableInput": table });
        let operation = if there { "UpdateTable" } else { "CreateTable" };
        if there {
            // Archived versions of the table would only count against a quota.
            input["SkipArchive"] = true.into();
        }
        Ok(self.0.call::<Value>(operation, &input).await.map(drop)?)
    }
}
