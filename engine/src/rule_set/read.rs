//! Reads bytes as a rule set, repeating every check.

use serde::Deserialize;

use super::{FORMAT_VERSION, RuleSet, check::Invalid};

/// Largest artifact that is read, in bytes. Ten thousand rules take about 8 MiB.
pub const RULE_SET_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why bytes are not a rule set that this code can use.
#[derive(Debug, thiserror::Error)]
pub enum RuleSetError {
    /// Larger than [`RULE_SET_BYTES_MAX`].
    #[error("the rule set has {bytes} bytes; at most {RULE_SET_BYTES_MAX} are read")]
    TooLarge {
        /// Size of the artifact, in bytes.
        bytes: usize,
    },
    /// Written by a newer version.
    #[error("the rule set has format {found}; this version reads formats up to {FORMAT_VERSION}")]
    Newer {
        /// Its format version.
        found: u32,
    },
    /// Not JSON of the right shape.
    #[error("the rule set does not have the form of format {FORMAT_VERSION}: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of the right shape, but inconsistent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl RuleSet {
    /// Reads an artifact and checks everything that its generator checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RuleSetError> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        if bytes.len() > RULE_SET_BYTES_MAX {
            return Err(RuleSetError::TooLarge { bytes: bytes.len() });
        }
        let set = match serde_json::from_slice::<Self>(bytes) {
            Ok(set) => set,
            // A newer format may have any shape, so the version is checked before the shape is reported as wrong.
            Err(error) => match serde_json::from_slice::<Version>(bytes) {
                Ok(Version { format_version }) if format_version > FORMAT_VERSION => {
                    return Err(RuleSetError::Newer { found: format_version });
                }
                _ => return Err(error.into()),
            },
        };
        if set.format_version > FORMAT_VERSION {
            return Err(RuleSetError::Newer { found: set.format_version });
        }
        set.check()?;
        Ok(set)
    }
}
