//! The table of samples as an Iceberg table: which columns its schema lacks, and the commit that adds them.
//!
//! Columns are only ever added. Adding one rewrites no data, a column whose reading is gone keeps its values, and a
//! change of a column's type is refused.

pub mod catalog;
#[cfg(feature = "tables")]
pub mod files;
#[cfg(feature = "tables")]
pub mod removal;
#[cfg(feature = "tables")]
pub mod snapshot;

use fleetform_engine::rows::columns::{Column, ColumnType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smol_str::SmolStr;

/// The full name of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableName {
    /// ARN of the table bucket.
    #[serde(rename = "TableBucketArn")]
    pub bucket_arn: String,
    /// The table's namespace.
    pub namespace: String,
    /// The table's name within the namespace.
    pub table: String,
}

/// A column that the table must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wanted {
    /// The column's name.
    pub name: SmolStr,
    /// The column's type, as an Iceberg schema spells it.
    #[serde(rename = "Type")]
    pub column_type: SmolStr,
}

/// The needed part of a table's metadata ("Table Metadata Fields", Apache Iceberg table spec).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metadata {
    table_uuid: String,
    last_column_id: u64,
    current_schema_id: i64,
    schemas: Vec<Schema>,
    #[cfg(feature = "tables")]
    format_version: u8,
    #[cfg(feature = "tables")]
    location: String,
    #[cfg(feature = "tables")]
    #[serde(default)]
    last_sequence_number: i64,
    #[cfg(feature = "tables")]
    last_updated_ms: i64,
    #[cfg(feature = "tables")]
    current_snapshot_id: Option<i64>,
    #[cfg(feature = "tables")]
    #[serde(default)]
    snapshots: Vec<snapshot::Snapshot>,
}

/// A schema. Any other fields are passed through unchanged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Schema {
    schema_id: i64,
    fields: Vec<Field>,
    #[serde(default)]
    identifier_field_ids: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Field {
    id: u64,
    name: SmolStr,
    required: bool,
    /// The name of a primitive type, or the tree of a nested one.
    #[serde(rename = "type")]
    field_type: Value,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// Why a table cannot have the columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A column exists with another type.
    #[error(
        "the column `{name}` holds `{found}`, and its reading is now `{wanted}`: stored rows cannot change their type; \
         give the reading another id, and leave `key` as devices send it"
    )]
    OtherType {
        /// The column's name.
        name: SmolStr,
        /// The type that it has.
        found: String,
        /// The type that it should have.
        wanted: SmolStr,
    },
    /// There is a column that tables of samples do not have.
    #[error("the column `{name}` holds `{found}`, which no reading is")]
    Strange {
        /// The column's name.
        name: SmolStr,
        /// The type that it has.
        found: SmolStr,
    },
    /// The metadata refers to a schema that it does not contain.
    #[error("the table's metadata has no current schema")]
    NoSchema,
}

impl Metadata {
    /// The columns of the current schema, with their ids.
    ///
    /// # Errors
    /// If there is no current schema, or if it has a column that tables of samples do not have.
    pub fn schema(&self) -> Result<Vec<(i32, Column)>, Unfit> {
        let schema = self.schemas.iter().find(|schema| schema.schema_id == self.current_schema_id);
        let fields = schema.ok_or(Unfit::NoSchema)?.fields.iter();
        fields
            .map(|field| {
                let column = |column_type| Column { name: field.name.clone(), column_type, required: field.required };
                let known = field.field_type.as_str().and_then(ColumnType::named);
                let id = i32::try_from(field.id).ok();
                let strange =
                    || Unfit::Strange { name: field.name.clone(), found: field.field_type.to_string().into() };
                id.zip(known).map(|(id, known)| (id, column(known))).ok_or_else(strange)
            })
            .collect()
    }

    /// The commit that adds the missing columns, and their number; `None` if the table has them all.
    ///
    /// # Errors
    /// If one of them exists with another type.
    pub fn adding(&self, wanted: &[Wanted]) -> Result<Option<(Value, usize)>, Unfit> {
        let current = self.schemas.iter().find(|schema| schema.schema_id == self.current_schema_id);
        let Schema { fields, identifier_field_ids, .. } = current.ok_or(Unfit::NoSchema)?;
        let mut fields = fields.clone();
        let before = fields.len();
        let mut last_id = self.last_column_id;
        for Wanted { name, column_type } in wanted {
            match fields.iter().find(|field| field.name == *name) {
                Some(found) if found.field_type == column_type.as_str() => {}
                Some(found) => {
                    let found = found.field_type.as_str().map_or_else(|| found.field_type.to_string(), str::to_owned);
                    return Err(Unfit::OtherType { name: name.clone(), found, wanted: column_type.clone() });
                }
                None => {
                    last_id += 1;
                    fields.push(Field {
                        id: last_id,
                        name: name.clone(),
                        required: false,
                        field_type: column_type.as_str().into(),
                        others: serde_json::Map::new(),
                    });
                }
            }
        }
        let added = fields.len() - before;
        if added == 0 {
            return Ok(None);
        }
        let schema_id = self.schemas.iter().map(|schema| schema.schema_id).max().unwrap_or_default() + 1;
        let mut schema = json!({ "type": "struct", "schema-id": schema_id, "fields": fields });
        if !identifier_field_ids.is_empty() {
            schema["identifier-field-ids"] = json!(identifier_field_ids);
        }
        let commit = json!({
            // If another writer commits in the meantime, this commit is refused and built again from the new metadata.
            "requirements": [
                { "type": "assert-table-uuid", "uuid": self.table_uuid },
                { "type": "assert-current-schema-id", "current-schema-id": self.current_schema_id },
                { "type": "assert-last-assigned-field-id", "last-assigned-field-id": self.last_column_id },
            ],
            "updates": [
                { "action": "add-schema", "schema": schema, "last-column-id": last_id },
                // The schema that was just added.
                { "action": "set-current-schema", "schema-id": -1 },
            ],
        });
        Ok(Some((commit, added)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let field = |id: u32, name: &str, r#type: &str| json!({ "id": id, "name": name, "required": true, "type": r#type, "doc": "as it was" });
        let old = json!({ "type": "struct", "schema-id": 0, "fields": [field(1, "device_id", "string")] });
        let fields = [field(1, "device_id", "string"), field(2, "pressure", "double")];
        let current = json!({ "type": "struct", "schema-id": 3, "fields": fields, "identifier-field-ids": [1] });
        serde_json::from_value(json!({
            "format-version": 2, "location": "s3://samples", "last-updated-ms": 0, "table-uuid": "u", "last-column-id": 4, "current-schema-id": 3, "schemas": [old, current],
        }))
        .expect("metadata")
    }

    fn wanted(columns: &[(&str, &str)]) -> Vec<Wanted> {
        columns
            .iter()
            .map(|(name, column_type)| Wanted { name: (*name).into(), column_type: (*column_type).into() })
            .collect()
    }

    #[test]
    fn what_is_there_is_not_added() {
        assert_eq!(metadata().adding(&wanted(&[("pressure", "double")])), Ok(None));
        assert_eq!(metadata().adding(&[]), Ok(None));
    }

    #[test]
    fn new_columns_have_new_ids_and_the_others_stay() {
        let columns = wanted(&[("flow", "double"), ("pressure", "double"), ("state", "string")]);
        let (commit, added) = metadata().adding(&columns).expect("fits").expect("a commit");
        assert_eq!(added, 2);
        let add = &commit["updates"][0];
        assert_eq!(add["schema"]["schema-id"], 4);
        assert_eq!(add["last-column-id"], 6);
        assert_eq!(add["schema"]["identifier-field-ids"], json!([1]));
        let fields = add["schema"]["fields"].as_array().expect("fields");
        assert_eq!(fields[0]["doc"], "as it was");
        assert_eq!(fields[2], json!({ "id": 5, "name": "flow", "required": false, "type": "double" }));
        assert_eq!(fields[3]["id"], 6);
        assert_eq!(commit["requirements"][1], json!({ "type": "assert-current-schema-id", "current-schema-id": 3 }));
    }

    #[test]
    fn a_column_keeps_its_type() {
        let refused = metadata().adding(&wanted(&[("pressure", "boolean")])).expect_err("another type");
        let text = refused.to_string();
        assert!(text.contains("`pressure` holds `double`") && text.contains("`boolean`"), "{text}");
        let nowhere = Metadata { current_schema_id: 9, ..metadata() };
        assert_eq!(nowhere.adding(&[]), Err(Unfit::NoSchema));
    }
}
