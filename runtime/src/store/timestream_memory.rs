//! A table of Timestream in memory, which rejects what the service rejects ("WriteRecords", "Record" and
//! "MeasureValue", Amazon Timestream developer guide).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::timestream::{Refused, Written};

/// The records by name, with version and measures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<String, (i64, BTreeMap<String, String>)>,
    /// The type of each measure.
    types: BTreeMap<String, String>,
    /// The earliest accepted time in milliseconds.
    pub(crate) oldest: i64,
    /// A device whose records make their whole call invalid.
    pub(crate) invalid: Option<String>,
}

impl Table {
    /// The stored records: device, time and measures of each.
    pub(crate) fn records(&self) -> Vec<Value> {
        let records = self.records.iter().map(|(name, (version, measures))| {
            let name: Value = serde_json::from_str(name).expect("a name");
            let dimension = |name: &Value, place: usize| name[0][place]["Value"].clone();
            json!({
                "device_id": dimension(&name, 0), "zone": dimension(&name, 1), "device_type": dimension(&name, 2),
                "time": name[2], "version": version, "measures": measures,
            })
        });
        records.collect()
    }

    /// Makes one call.
    pub(crate) fn write(&mut self, records: &[Value]) -> Written {
        assert!((1..=100).contains(&records.len()), "{} records", records.len());
        let texts: fn(&Value, &str) -> String = |value, name| value[name].as_str().expect(name).to_owned();
        let measures = |record: &Value| record["MeasureValues"].as_array().expect("measures").clone();
        for record in records {
            let lengths = measures(record).iter().map(|measure| texts(measure, "Value").len()).collect::<Vec<_>>();
            let is_bad = self.invalid.as_deref() == record["Dimensions"][0]["Value"].as_str();
            if is_bad || !lengths.iter().all(|length| (1..=2_048).contains(length)) {
                return Written::Invalid("WriteRecords: ValidationException: a constraint".to_owned());
            }
        }
        let name = |record: &Value| json!([record["Dimensions"], record["MeasureName"], record["Time"]]).to_string();
        let names: BTreeSet<String> = records.iter().map(name).collect();
        assert_eq!(names.len(), records.len(), "no name is twice in a call");
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let mut refuse = |reason: &str, existing_version| {
                refused.push(Refused { index, reason: reason.to_owned(), existing_version });
            };
            let version = record["Version"].as_i64().expect("a version");
            assert_eq!(record["MeasureValueType"], "MULTI");
            if texts(record, "Time").parse::<i64>().expect("a time") < self.oldest {
                refuse("The record timestamp is outside the time range of the magnetic store", None);
                continue;
            }
            let all = measures(record);
            let types = all.iter().map(|measure| (texts(measure, "Name"), texts(measure, "Type")));
            if types.clone().any(|(name, kind)| self.types.get(&name).is_some_and(|known| *known != kind)) {
                refuse("The measure value type does not match that of the column", None);
                continue;
            }
            let values: BTreeMap<_, _> =
                all.iter().map(|measure| (texts(measure, "Name"), texts(measure, "Value"))).collect();
            match self.records.get(&name(record)) {
                Some((known, theirs)) if *known >= version => {
                    if *theirs != values {
                        refuse("A record already exists with this or a higher version", Some(*known));
                    }
                }
                _ => {
                    self.types.extend(types);
                    self.records.insert(name(record), (version, values));
                }
            }
        }
        Written::Taken(refused)
    }
}
