//! The JSON Schema of a platform file: editors use it for completion, and `check` enforces it.
//!
//! It is derived from the raw forms in `platform/`, so it covers shapes and bounds, but not references.

pub(crate) mod path;
pub(crate) mod raw;
pub(crate) mod shape;
mod transform;
pub(crate) mod types;

use std::sync::LazyLock;

use serde_json::Value;

/// The schema as a value, built once.
pub(crate) static SCHEMA: LazyLock<Value> = LazyLock::new(transform::build);

/// The schema of a test file: the parts of the full schema that such a file uses.
pub(crate) static TESTS_SCHEMA: LazyLock<Value> = LazyLock::new(|| transform::tests_alone(&SCHEMA));

/// Returns the JSON Schema of a platform file, draft-07, as text.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&*SCHEMA).unwrap_or_default();
    text.push('\n');
    text
}

/// Parses a duration as the platform file writes it, such as `90s` or `5m`.
pub fn duration(text: &str) -> Option<fleetform_engine::units::Millis> {
    types::Duration::parse(text).map(|length| length.0)
}
