//! The snapshot in which whole partitions are gone: manifests without their files, a list of manifests, and the commit
//! ("Manifests", "Snapshots" and "Commit Conflict Resolution and Retry", Apache Iceberg table spec).
//!
//! Nothing is rewritten but metadata. The commit holds only for the snapshot that it was made from, so a row that came
//! meanwhile is never among those that go.

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

/// The one version of the format that this writes. Version 3 numbers rows, which is not done here.
const FORMAT_VERSION: u8 = 2;
/// The status of an entry whose file was there before.
const EXISTING: i32 = 0;

/// Counts of files in a list of manifests, by the name of the spec and by the one that writers before it gave them.
const ADDED_FILES: [&str; 2] = ["added_files_count", "added_data_files_count"];
const EXISTING_FILES: [&str; 2] = ["existing_files_count", "existing_data_files_count"];
const DELETED_FILES: [&str; 2] = ["deleted_files_count", "deleted_data_files_count"];

/// Why partitions cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum Unremovable {
    /// The table is of another version of the format.
    #[error(
        "the table is of version {0} of Iceberg's format, and rows are removed from tables of version {FORMAT_VERSION}"
    )]
    OtherFormat(u8),
    /// A file of metadata is damaged.
    #[error("{path}: {reason}")]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: Unreadable,
    },
}

/// What is to be written, and committed then.
#[derive(Debug)]
pub struct Removal {
    /// New files by their paths.
    pub files: Vec<(String, Vec<u8>)>,
    /// The commit that makes them the table.
    pub commit: Json,
}

/// A file of metadata with its path.
pub type Read = (String, Bytes);

impl Metadata {
    /// A snapshot without these partitions, made from the newest, its list of manifests, and those manifests of data of
    /// which files go; none if no file does.
    ///
    /// # Errors
    /// If the table is of another format, or its files are damaged.
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
        // What has no file any more, and lost none now, says nothing.
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
            // The spec lets no snapshot be older than the metadata before it.
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

    /// An id for the snapshot that comes after one without these partitions. Whoever makes the same snapshot gives it the
    /// same, and so writes the same files; whoever makes another one writes others.
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

/// The snapshot that is made.
#[derive(Clone, Copy)]
struct Place {
    id: i64,
    sequence_number: i64,
}

/// What goes with a manifest.
#[derive(Clone, Copy, Default)]
struct Gone {
    files: u64,
    rows: u64,
}

impl Gone {
    /// The summary of the snapshot, with the totals that the one before has.
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
    /// A manifest in which files of these partitions are gone, and its entry of the list told so; none if it has none.
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

/// An Avro file: what is in it, and how it is written.
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

/// Fills a field that a record has by one of these names, inside of its union where it may be empty.
fn set(record: &mut Value, names: &[&'static str], value: Value) -> Result<(), Unreadable> {
    let lacks = || Unreadable::Lacks(names[0]);
    let Value::Record(fields) = record else { return Err(lacks()) };
    let (_, old) = fields.iter_mut().find(|(field, _)| names.contains(&field.as_str())).ok_or_else(lacks)?;
    *old = match old {
        // A union of nothing and one kind of value: the other branch.
        Value::Union(branch, nothing) if **nothing == Value::Null => Value::Union(1 - *branch, value.into()),
        Value::Union(branch, _) => Value::Union(*branch, value.into()),
        _ => value,
    };
    Ok(())
}
