//! The exported files as a table of the data catalog, so that Amazon Athena finds them: their columns, and the folders
//! that may exist.
//!
//! The catalog's table grows like the table of samples. A removed reading's column and a removed zone stay, because
//! files have them.

use std::collections::BTreeSet;

use fleetform_engine::{
    drive::PortError,
    rows::{
        aggregates::{self, AGGREGATES},
        columns::{Column, ColumnType, DAY, EXPORT_NUMBER, FIXED, ZONE},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The parameter with the list of zones, from which Athena derives folders ("Supported types for partition projection",
/// Amazon Athena user guide).
const ZONES: &str = "projection.zone.values";

/// The parameter with the location of a day of a zone ("Set up partition projection", Amazon Athena user guide).
const TEMPLATE: &str = "storage.location.template";

/// The table's properties, as CloudFormation describes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Exported {
    /// The name of the database.
    pub database: String,
    /// The name of the table.
    pub table: String,
    /// The name of the bucket with the exports.
    pub bucket: String,
    /// The order of the folders: `zone,day` or `day,zone`.
    pub partition_by: String,
    /// The ids of the current zones.
    pub zones: Vec<String>,
    /// The name of the table of aggregates; `None` if there are none.
    #[serde(default)]
    pub aggregates: Option<String>,
}

/// The port to the data catalog.
pub trait DataCatalog: Sync {
    /// Returns the catalog's description of a table; `None` if there is no such table.
    fn find(&self, database: &str, table: &str) -> impl Future<Output = Result<Option<Value>, PortError>> + Send;

    /// Creates the table, or updates it if it is `there`.
    fn put(&self, exported: &Exported, table: Value, there: bool)
    -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The columns that a table of the catalog has.
///
/// # Errors
/// If it is not a table that this module creates.
pub fn columns(found: &Value) -> Result<Vec<Column>, PortError> {
    let strange = |what: &Value| PortError(format!("the data catalog describes no table of samples: {what}"));
    let column = |said: &Value| {
        let (Some(name), Some(kind)) = (said["Name"].as_str(), said["Type"].as_str()) else {
            return Err(strange(said));
        };
        let known = [ColumnType::Text, ColumnType::Float, ColumnType::Int, ColumnType::Bool, ColumnType::Time];
        let column_type = known.into_iter().find(|known| hive(*known) == kind).ok_or_else(|| strange(said))?;
        Ok(Column { name: name.into(), column_type, required: false })
    };
    let said = found["StorageDescriptor"]["Columns"].as_array().ok_or_else(|| strange(found))?;
    let own = said.iter().filter(|column| column["Name"] != EXPORT_NUMBER).map(column);
    FIXED.into_iter().filter(|fixed| fixed.name == ZONE).map(Ok).chain(own).collect()
}

impl Exported {
    /// Adds these columns to those that the catalog has, where no other table holds the list of all columns there ever
    /// were. Returns the number of new columns.
    ///
    /// # Errors
    /// If the catalog does not answer, or refuses, or if a column would change its type.
    pub async fn grow(&self, catalog: &impl DataCatalog, wanted: &[Column]) -> Result<usize, PortError> {
        let mut all = match catalog.find(&self.database, &self.table).await? {
            Some(found) => columns(&found)?,
            None => FIXED.to_vec(),
        };
        let known = all.len();
        for column in wanted {
            match all.iter().find(|known| known.name == column.name) {
                Some(known) if known.column_type != column.column_type => {
                    return Err(PortError(format!(
                        "the column `{}` of exported files holds `{}`, and its reading is now `{}`: give the reading another \
                         id, and leave `key` as devices send it",
                        column.name,
                        known.column_type.as_str(),
                        column.column_type.as_str()
                    )));
                }
                Some(_) => {}
                None => all.push(column.clone()),
            }
        }
        self.bring_about(catalog, &all).await?;
        Ok(all.len() - known)
    }

    /// Makes the catalog describe the files of a table with these columns.
    ///
    /// # Errors
    /// If the catalog does not answer, or refuses.
    pub async fn bring_about(&self, catalog: &impl DataCatalog, columns: &[Column]) -> Result<(), PortError> {
        self.bring_one_about(catalog, "samples", columns).await?;
        match &self.aggregates {
            Some(table) => {
                let aggregates = Self { table: table.clone(), ..self.clone() };
                aggregates.bring_one_about(catalog, AGGREGATES, &aggregates::COLUMNS).await
            }
            None => Ok(()),
        }
    }

    /// Does the same for the files below one folder.
    async fn bring_one_about(
        &self,
        catalog: &impl DataCatalog,
        folder: &str,
        columns: &[Column],
    ) -> Result<(), PortError> {
        let found = catalog.find(&self.database, &self.table).await?;
        let wanted = self.table(folder, columns, found.as_ref());
        self.check_folders(found.as_ref())?;
        if found.as_ref().is_some_and(|found| says(found, &wanted)) {
            return Ok(());
        }
        catalog.put(self, wanted, found.is_some()).await
    }

    /// Refuses an order of folders that differs from that of existing files, which would no longer be found.
    fn check_folders(&self, found: Option<&Value>) -> Result<(), PortError> {
        let template = found.and_then(|found| found["Parameters"][TEMPLATE].as_str());
        match template {
            Some(template) if !template.ends_with(&self.folders()) => Err(PortError(format!(
                "exported files lie in folders like {template}, and `export.partition_by` says `{}` now, by which they \
                 would be found no more: leave it as it was",
                self.partition_by
            ))),
            _ => Ok(()),
        }
    }

    /// The folders of a day of a zone, in Athena's notation.
    fn folders(&self) -> String {
        match self.partition_by.as_str() {
            "day,zone" => format!("/{DAY}=${{{DAY}}}/{ZONE}=${{{ZONE}}}/"),
            _ => format!("/{ZONE}=${{{ZONE}}}/{DAY}=${{{DAY}}}/"),
        }
    }

    /// The table with these columns, merged with what is known of it ("Table structure", AWS Glue API).
    fn table(&self, folder: &str, columns: &[Column], known: Option<&Value>) -> Value {
        let known_zones = known.and_then(|table| table["Parameters"][ZONES].as_str()).unwrap_or_default();
        let known_zones = known_zones.split(',').filter(|zone| !zone.is_empty());
        let zones: BTreeSet<&str> = known_zones.chain(self.zones.iter().map(String::as_str)).collect();
        let zones: Vec<&str> = zones.into_iter().collect();
        let root = format!("s3://{}/{folder}", self.bucket);
        let own = columns.iter().filter(|column| column.name != ZONE);
        let own = own.map(|column| json!({ "Name": column.name, "Type": hive(column.column_type) }));
        let own: Vec<Value> = own.chain([json!({ "Name": EXPORT_NUMBER, "Type": hive(ColumnType::Int) })]).collect();
        json!({
            "Name": self.table,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {
                "EXTERNAL": "TRUE",
                "classification": "parquet",
                "projection.enabled": "true",
                "projection.day.type": "date",
                "projection.day.format": "yyyy-MM-dd",
                "projection.day.interval": "1",
                "projection.day.interval.unit": "DAYS",
                // A device whose clock is wrong may report any day.
                "projection.day.range": "1970-01-01,NOW+1DAYS",
                "projection.zone.type": "enum",
                ZONES: zones.join(","),
                TEMPLATE: format!("{root}{}", self.folders()),
            },
            "PartitionKeys": [{ "Name": ZONE, "Type": "string" }, { "Name": DAY, "Type": "date" }],
            "StorageDescriptor": {
                "Columns": own,
                "Location": format!("{root}/"),
                "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                "SerdeInfo": { "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe" },
            },
        })
    }
}

/// Whether the catalog's description includes all that is wanted. It also holds properties that were never set.
fn says(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| says(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| says(found, wanted))
        }
        _ => found == wanted,
    }
}

/// A type in the data catalog's notation ("Data types in Amazon Athena", Amazon Athena user guide).
const fn hive(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "string",
        ColumnType::Float => "double",
        ColumnType::Int => "bigint",
        ColumnType::Bool => "boolean",
        ColumnType::Time => "timestamp",
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! A data catalog in memory.

    use std::{collections::BTreeMap, sync::Mutex};

    use super::*;

    /// Any number of tables, by name.
    #[derive(Debug, Default)]
    pub(crate) struct Tables(pub(crate) Mutex<BTreeMap<String, Value>>);

    impl DataCatalog for &Tables {
        async fn find(&self, _: &str, table: &str) -> Result<Option<Value>, PortError> {
            Ok(self.0.lock().unwrap().get(table).cloned())
        }

        async fn put(&self, exported: &Exported, table: Value, there: bool) -> Result<(), PortError> {
            let known = self.0.lock().unwrap().insert(exported.table.clone(), table);
            assert_eq!(known.is_some(), there);
            Ok(())
        }
    }

    /// At most one table, and how often it was written.
    #[derive(Debug, Default)]
    pub(crate) struct Table(pub(crate) Mutex<(Option<Value>, u32)>);

    impl DataCatalog for &Table {
        async fn find(&self, _: &str, _: &str) -> Result<Option<Value>, PortError> {
            Ok(self.0.lock().unwrap().0.clone())
        }

        async fn put(&self, _: &Exported, mut table: Value, there: bool) -> Result<(), PortError> {
            let mut known = self.0.lock().unwrap();
            assert_eq!(known.0.is_some(), there);
            table["CreateTime"] = json!(7);
            table["StorageDescriptor"]["Compressed"] = json!(false);
            table["StorageDescriptor"]["SerdeInfo"]["Parameters"] = json!({});
            *known = (Some(table), known.1 + 1);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(zones: &[&str]) -> Exported {
        let zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        let [database, table, bucket] = ["water_dev", "exported", "cold"].map(str::to_owned);
        Exported { database, table, bucket, partition_by: "day,zone".to_owned(), zones, aggregates: None }
    }

    fn column(name: &str, column_type: ColumnType) -> Column {
        Column { name: name.into(), column_type, required: false }
    }

    #[tokio::test]
    async fn columns_and_zones_are_added_and_nothing_is_written_twice() {
        let catalog = memory::Table::default();
        let columns =
            [column("device_id", ColumnType::Text), column("zone", ColumnType::Text), column("on", ColumnType::Bool)];
        let now = |zones: &[&str], columns: &[Column]| {
            let (exported, columns) = (exported(zones), columns.to_vec());
            let catalog = &catalog;
            async move { exported.bring_about(&catalog, &columns).await.expect("answers") }
        };
        now(&["b"], &columns[..2]).await;
        now(&["b"], &columns[..2]).await;
        assert_eq!(catalog.0.lock().unwrap().1, 1);
        now(&["a"], &columns).await;
        let (table, written) = catalog.0.lock().unwrap().clone();
        let table = table.expect("a table");
        assert_eq!(written, 2);
        assert_eq!(table["Parameters"][ZONES], "a,b");
        assert_eq!(table["Parameters"]["storage.location.template"], "s3://cold/samples/day=${day}/zone=${zone}/");
        let names: Vec<&str> = table["StorageDescriptor"]["Columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["Name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["device_id", "on", "export_number"]);
    }

    #[tokio::test]
    async fn aggregates_are_a_table_of_their_own_with_the_same_folders() {
        let catalog = memory::Tables::default();
        let exported = Exported { aggregates: Some("sums".to_owned()), ..exported(&["a"]) };
        for _ in 0..2 {
            exported.bring_about(&&catalog, &[column("pressure", ColumnType::Float)]).await.expect("answers");
        }
        let tables = catalog.0.lock().unwrap().clone();
        assert_eq!(tables.keys().collect::<Vec<_>>(), ["exported", "sums"]);
        let table = &tables["sums"];
        assert_eq!(table["Parameters"][TEMPLATE], "s3://cold/aggregates/day=${day}/zone=${zone}/");
        assert_eq!(table["StorageDescriptor"]["Location"], "s3://cold/aggregates/");
        let columns = table["StorageDescriptor"]["Columns"].as_array().expect("columns");
        let said: Vec<String> = columns.iter().map(|one| format!("{} {}", one["Name"], one["Type"])).collect();
        let said = said.join(", ").replace('"', "");
        let wanted = "device_id string, interval_start timestamp, interval_s bigint, device_type string, reading string, \
                      count bigint, minimum double, maximum double, sum double, last double, export_number bigint";
        assert_eq!(said, wanted);
        assert_eq!(tables["exported"]["StorageDescriptor"]["Columns"][0]["Name"], "pressure");
    }

    #[tokio::test]
    async fn where_no_other_table_is_columns_are_those_that_there_ever_were() {
        let catalog = memory::Table::default();
        let names = |columns: &[Column]| columns.iter().map(|column| column.name.to_string()).collect::<BTreeSet<_>>();
        let [flow, on] = [column("flow", ColumnType::Float), column("on", ColumnType::Bool)];
        assert_eq!(exported(&["a"]).grow(&&catalog, std::slice::from_ref(&flow)).await, Ok(1));
        assert_eq!(exported(&["a"]).grow(&&catalog, std::slice::from_ref(&on)).await, Ok(1));
        let found = (&catalog).find("water_dev", "exported").await.expect("answers").expect("a table");
        let known = columns(&found).expect("columns");
        let wanted: Vec<Column> = FIXED.into_iter().chain([flow, on]).collect();
        assert_eq!(names(&known), names(&wanted));
        assert_eq!(known[0].name, ZONE);
        let other = exported(&["a"]).grow(&&catalog, &[column("on", ColumnType::Float)]).await;
        let refused = other.expect_err("it is refused");
        assert!(
            refused.0.contains("`on` of exported files holds `boolean`, and its reading is now `double`"),
            "{refused}"
        );
        assert_eq!(catalog.0.lock().unwrap().1, 2);
    }

    #[tokio::test]
    async fn another_order_of_folders_is_refused() {
        let catalog = memory::Table::default();
        exported(&["a"]).bring_about(&&catalog, &[]).await.expect("answers");
        let other = Exported { partition_by: "zone,day".to_owned(), ..exported(&["a"]) };
        let refused = other.bring_about(&&catalog, &[]).await.expect_err("it is refused");
        assert!(refused.0.contains("`export.partition_by` says `zone,day` now"), "{refused:?}");
        assert_eq!(catalog.0.lock().unwrap().1, 1);
    }
}
