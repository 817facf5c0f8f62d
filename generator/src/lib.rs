//! Turns `platform.toml` into a tree of files.
//!
//! The text becomes a [`platform::Project`], which is valid by construction, and that is rendered into paths and bytes.
//! Nothing here opens a file or a socket, reads a clock, or reads an environment variable.
#![forbid(unsafe_code)]

pub mod broker;
mod cfn;
mod check;
mod contract;
pub mod diagnostic;
mod output;
pub mod platform;
mod printable;
pub mod prove;
mod questions;
mod registration;
mod render;
mod rule_set;
mod schema;
mod script;
mod serial;
mod source;
pub mod stacks;
mod text;
mod workflow;

pub use check::{Checked, CheckedTests, Earlier, PLATFORM_FILE_BYTES_MAX, TestsFile, check, check_after, check_all};
pub use diagnostic::Format;
pub use output::{MANIFEST, Manifest, RuleSetAddress, Tree, sha256};
pub use printable::printable;
pub use registration::{Registration, RegistrationError};
pub use render::{RULE_SET, Selection, render};
pub use rule_set::{RuleSetArtifact, rule_set};
pub use schema::{duration, schema};
