//! A snapshot without whole partitions: manifests without their files, a manifest list, and the commit ("Manifests",
//! "Snapshots" and "Commit Conflict Resolution and Retry", Apache Iceberg table spec).
//!
//! Only metadata is rewritten. The commit is only valid on the snapshot that it was made from, so a row that arrives in
//! the meantime is never removed.

use std::collections::BTreeSet;

use apache_avro::{Codec, Reader, Schema, Writer, types::Value};
use bytes::Bytes;
use fleetform_engine::units::Timestamp;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::{
    Metadata,
    files::{self, DELETED, Unreadable, field, number, text},
    snapshot::{Partition, Snapshot},
};

/// The only version of the format that this writes. Version 3 numbers rows, which is not implemented here.
const FORMAT_VERSION: u8 = 2;
/// The status of an entry whose file already existed.
const EXISTING: i32 = 0;

/// The counts of files in a manifest list, by their name in the spec and by the name that older writers use.
const ADDED_FILES: [&str; 2] = ["added_files_count", "added_data_files_count"];
const EXISTING_FILES: [&str; 2] = ["existing_files_count", "existing_data_files_count"];
const DELETED_FILES: [&str; 2] = ["deleted_files_count", "deleted_data_files_count"];

/// Why partitions cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum Unremovable {
    /// The table has another version of the format.
    #[error(
        "the table is of version {0} of Iceberg's format, and rows are removed from tables of version {FORMAT_VERSION}"
    )]
    OtherFormat(u8),
    /// A metadata file is damaged.
    #[error("{path}: {reason}")]
    Damaged {
        /// The path of the file.
        path: String,
        /// The damage.
        reason: Unreadable,
    },
}

/// What has to be written, and then committed.
#[derive(Debug)]
pub struct Removal {
    /// New files, as path and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// The commit that adds the snapshot.
    pub commit: Json,
}

/// A metadata file, as path and contents.
pub type Read = (String, Bytes);

impl Metadata {
    /// A snapshot without these partitions. It is made from the newest snapshot, its manifest list, and the data
    /// manifests that files are removed from. `None` if no file is removed.
    ///
    /// # Errors
    /// If the table has another format, or its files are damaged.
    pub fn removing(
        &self,
        (from, list): (&Snapshot, &Bytes),
        manifests: &[Read],
        partitions: &BTreeSet<Partition>,
        now: Timestamp,
    ) -> Result<Option<Removal>, Unremovable> {
        if self.format_version != FORMAT_VERSION {
            return Err(Unremovable::OtherFormat(self.format_version));
        }
        let sequence_number = self.last_sequence_number + 1;
        let place = Place { id: self.next_id(from, partitions), sequence_number };
        let path = |name: &str| format!("{}/metadata/{sequence_number}-{:016x}-{name}.avro", self.location, place.id);
        let damaged = |path: &str| {
            let path = path.to_owned();
            move |reason| Unremovable::Damaged { path, reason }
        };
        let list_damaged = damaged(&from.manifest_list);
        let mut listed = Avro::read(list).map_err(list_damaged)?;
        let mut written = Vec::new();
        let mut all_gone = Gone::default();
        for (old, bytes) in manifests {
            let entry =
                listed.values.iter_mut().find(|entry| text(entry, "manifest_path").is_ok_and(|path| path == *old));
            let Some(entry) = entry else { continue };
            let Some((new, gone)) = place.without(bytes, entry, partitions).map_err(damaged(old))? else { continue };
            let new_path = path(&format!("m{}", written.len()));
            set(entry, &["manifest_path"], Value::String(new_path.clone())).map_err(damaged(old))?;
            set(entry, &["manifest_length"], Value::Long(new.len() as i64)).map_err(damaged(old))?;
            all_gone.files += gone.files;
            all_gone.rows += gone.rows;
            written.push((new_path, new));
        }
        if all_gone.files == 0 {
            return Ok(None);
        }
        // A manifest that has no files, and has not lost any now, is not listed any more.
        listed.values.retain(|entry| {
            let count =
                |names: [&str; 2]| names.iter().find_map(|name| field(entry, name)).and_then(number).unwrap_or(1);
            let is_ours = field(entry, "added_snapshot_id").and_then(number) == Some(place.id);
            is_ours || count(ADDED_FILES) + count(EXISTING_FILES) > 0
        });
        listed.metadata = vec![
            ("snapshot-id".to_owned(), place.id.to_string().into()),
            ("parent-snapshot-id".to_owned(), from.snapshot_id.to_string().into()),
            ("sequence-number".to_owned(), sequence_number.to_string().into()),
            ("format-version".to_owned(), FORMAT_VERSION.to_string().into()),
        ];
        let list_path = path("list");
        written.push((list_path.clone(), listed.write().map_err(damaged(&list_path))?));
        let snapshot = json!({
            "snapshot-id": place.id,
            "parent-snapshot-id": from.snapshot_id,
            "sequence-number": sequence_number,
            // The spec requires that a snapshot is not older than the previous metadata.
            "timestamp-ms": now.0.max(self.last_updated_ms),
            "manifest-list": list_path,
            "summary": all_gone.summary(from),
            "schema-id": self.current_schema_id,
        });
        let commit = json!({
            "requirements": [
                { "type": "assert-table-uuid", "uuid": self.table_uuid },
                { "type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": from.snapshot_id },
            ],
            "updates": [
                { "action": "add-snapshot", "snapshot": snapshot },
                { "action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": place.id },
            ],
        });
        Ok(Some(Removal { files: written, commit }))
    }

    /// The id of the new snapshot, derived from the previous one and the partitions to remove. Another run that makes
    /// the same snapshot gives it the same id, and so writes the same files; a different snapshot gets different files.
    fn next_id(&self, from: &Snapshot, partitions: &BTreeSet<Partition>) -> i64 {
        let mut digest = Sha256::new_with_prefix(format!("{}/{}", self.table_uuid, from.snapshot_id));
        for Partition { day, zone } in partitions {
            digest.update(format!("/{day}/{zone}"));
        }
        let digest = digest.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        i64::from_be_bytes(first) & i64::MAX
    }
}

/// The snapshot to be made.
#[derive(Clone, Copy)]
struct Place {
    id: i64,
    sequence_number: i64,
}

/// The totals of what is removed with a manifest.
#[derive(Clone, Copy, Default)]
struct Gone {
    files: u64,
    rows: u64,
}

impl Gone {
    /// The snapshot's summary, based on the totals of the previous one.
    fn summary(self, from: &Snapshot) -> Json {
        let mut summary = json!({
            "operation": "delete",
            "deleted-data-files": self.files.to_string(),
            "deleted-records": self.rows.to_string(),
        });
        for (name, gone) in [("total-data-files", self.files), ("total-records", self.rows)] {
            let before = from.summary.get(name).and_then(|total| total.parse::<u64>().ok());
            if let Some(left) = before.and_then(|before| before.checked_sub(gone)) {
                summary[name] = left.to_string().into();
            }
        }
        summary
    }
}

impl Place {
    /// A manifest without the files of these partitions, with its entry in the list updated; `None` if it has no such
    /// files.
    fn without(
        self,
        manifest: &[u8],
        listed: &mut Value,
        partitions: &BTreeSet<Partition>,
    ) -> Result<Option<(Vec<u8>, Gone)>, Unreadable> {
        let inherited = |name| field(listed, name).and_then(number).ok_or(Unreadable::Lacks(name));
        let (snapshot, sequence) = (inherited("added_snapshot_id")?, inherited("sequence_number")?);
        let mut avro = Avro::read(manifest)?;
        let mut kept = Vec::with_capacity(avro.values.len());
        let (mut gone, mut left, mut oldest) = (Gone::default(), Gone::default(), i64::MAX);
        for mut entry in std::mem::take(&mut avro.values) {
            if field(&entry, "status").and_then(number) == Some(DELETED) {
                continue;
            }
            let file = files::data_file(field(&entry, "data_file").ok_or(Unreadable::Lacks("data_file"))?)?;
            let goes = partitions.contains(&file.partition);
            let known = |name| field(&entry, name).and_then(number);
            let data_sequence = known("sequence_number").unwrap_or(sequence);
            let file_sequence = known("file_sequence_number").unwrap_or(sequence);
            let snapshot = if goes { self.id } else { known("snapshot_id").unwrap_or(snapshot) };
            let status = if goes { DELETED as i32 } else { EXISTING };
            set(&mut entry, &["status"], Value::Int(status))?;
            set(&mut entry, &["snapshot_id"], Value::Long(snapshot))?;
            set(&mut entry, &["sequence_number"], Value::Long(data_sequence))?;
            set(&mut entry, &["file_sequence_number"], Value::Long(file_sequence))?;
            let counted = if goes { &mut gone } else { &mut left };
            counted.files += 1;
            counted.rows += file.rows;
            oldest = oldest.min(data_sequence);
            kept.push(entry);
        }
        if gone.files == 0 {
            return Ok(None);
        }
        avro.values = kept;
        for (name, value) in [
            ("sequence_number", self.sequence_number),
            ("min_sequence_number", oldest),
            ("added_snapshot_id", self.id),
            ("added_rows_count", 0),
            ("existing_rows_count", left.rows as i64),
            ("deleted_rows_count", gone.rows as i64),
        ] {
            set(listed, &[name], Value::Long(value))?;
        }
        for (names, value) in
            [(ADDED_FILES, 0), (EXISTING_FILES, left.files as i32), (DELETED_FILES, gone.files as i32)]
        {
            set(listed, &names, Value::Int(value))?;
        }
        Ok(Some((avro.write()?, gone)))
    }
}

/// An Avro file: its contents and its encoding.
struct Avro {
    schema: Schema,
    metadata: Vec<(String, Vec<u8>)>,
    values: Vec<Value>,
}

impl Avro {
    fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(bytes)?;
        let schema = reader.writer_schema().clone();
        let values = reader.by_ref().collect::<Result<_, _>>()?;
        let metadata = reader.user_metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Self { schema, metadata, values })
    }

    fn write(&self) -> Result<Vec<u8>, Unreadable> {
        let mut writer = Writer::with_codec(&self.schema, Vec::new(), Codec::Deflate(Default::default()));
        for (key, value) in &self.metadata {
            writer.add_user_metadata(key.clone(), value)?;
        }
        for value in &self.values {
            writer.append_value_ref(value)?;
        }
        Ok(writer.into_inner()?)
    }
}

/// Sets the field that a record has under one of these names, inside a union if the field is optional.
fn set(record: &mut Value, names: &[&'static str], value: Value) -> Result<(), Unreadable> {
    let lacks = || Unreadable::Lacks(names[0]);
    let Value::Record(fields) = record else { return Err(lacks()) };
    let (_, old) = fields.iter_mut().find(|(field, _)| names.contains(&field.as_str())).ok_or_else(lacks)?;
    *old = match old {
        // A union of null and one other type: the other branch.
        Value::Union(branch, nothing) if **nothing == Value::Null => Value::Union(1 - *branch, value.into()),
        Value::Union(branch, _) => Value::Union(*branch, value.into()),
        _ => value,
    };
    Ok(())
}
