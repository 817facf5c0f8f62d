//! DynamoDB tables.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A table.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Table {
    pub(crate) attribute_definitions: Vec<AttributeDefinition>,
    pub(crate) key_schema: Vec<KeySchema>,
    pub(crate) billing_mode: &'static str,
    pub(crate) deletion_protection_enabled: bool,
    pub(crate) point_in_time_recovery_specification: PointInTimeRecovery,
    #[serde(rename = "SSESpecification")]
    pub(crate) sse_specification: SseSpecification,
    pub(crate) time_to_live_specification: TimeToLive,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) global_secondary_indexes: Vec<GlobalSecondaryIndex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_specification: Option<StreamSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeDefinition {
    pub(crate) attribute_name: &'static str,
    pub(crate) attribute_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeySchema {
    pub(crate) attribute_name: &'static str,
    pub(crate) key_type: &'static str,
}

/// A secondary index: the rows that have its key attributes, ordered by those keys.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GlobalSecondaryIndex {
    pub(crate) index_name: &'static str,
    pub(crate) key_schema: [KeySchema; 2],
    pub(crate) projection: Projection,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Projection {
    pub(crate) projection_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PointInTimeRecovery {
    pub(crate) point_in_time_recovery_enabled: bool,
}

#[derive(Serialize)]
pub(crate) struct SseSpecification {
    #[serde(rename = "SSEEnabled")]
    pub(crate) enabled: bool,
    #[serde(rename = "SSEType")]
    pub(crate) kind: &'static str,
    #[serde(rename = "KMSMasterKeyId")]
    pub(crate) key: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TimeToLive {
    pub(crate) attribute_name: &'static str,
    pub(crate) enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamSpecification {
    pub(crate) stream_view_type: &'static str,
}

impl Table {
    /// Creates an on-demand table with string keys, rows that expire by `expires_at`, a customer managed key,
    /// point-in-time recovery, and deletion protection.
    pub(crate) fn new(partition: &'static str, sort: Option<&'static str>, key: &Text) -> Self {
        let keys = || [Some((partition, "HASH")), sort.map(|name| (name, "RANGE"))].into_iter().flatten();
        Self {
            attribute_definitions: keys()
                .map(|(attribute_name, _)| AttributeDefinition { attribute_name, attribute_type: "S" })
                .collect(),
            key_schema: keys().map(|(attribute_name, key_type)| KeySchema { attribute_name, key_type }).collect(),
            billing_mode: "PAY_PER_REQUEST",
            deletion_protection_enabled: true,
            point_in_time_recovery_specification: PointInTimeRecovery { point_in_time_recovery_enabled: true },
            sse_specification: SseSpecification { enabled: true, kind: "KMS", key: key.clone() },
            time_to_live_specification: TimeToLive { attribute_name: "expires_at", enabled: true },
            global_secondary_indexes: Vec::new(),
            stream_specification: None,
        }
    }

    /// Adds an index of the rows that have a string and a number with these names, keyed by the string and then by the
    /// number. It projects only the keys.
    pub(crate) fn with_index(mut self, name: &'static str, partition: &'static str, sort: &'static str) -> Self {
        let definition = |attribute_name, attribute_type| AttributeDefinition { attribute_name, attribute_type };
        self.attribute_definitions.extend([definition(partition, "S"), definition(sort, "N")]);
        let key = |attribute_name, key_type| KeySchema { attribute_name, key_type };
        self.global_secondary_indexes.push(GlobalSecondaryIndex {
            index_name: name,
            key_schema: [key(partition, "HASH"), key(sort, "RANGE")],
            projection: Projection { projection_type: "KEYS_ONLY" },
        });
        self
    }

    /// Adds a stream of the table's changes.
    pub(crate) fn with_stream(self, stream_view_type: &'static str) -> Self {
        Self { stream_specification: Some(StreamSpecification { stream_view_type }), ..self }
    }
}

impl Resource for Table {
    const TYPE: &'static str = "AWS::DynamoDB::Table";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<Table> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }

    /// The ARN of the table's stream. Only for a table made [`Table::with_stream`].
    pub(crate) fn stream_arn(&self) -> Text {
        self.attribute("StreamArn")
    }
}
