//! What gives a rule its meaning. While this hash stays, a new rule set leaves the rule's episodes alone.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Condition, Hold, Rule};
use crate::ids::MetricId;

impl Rule {
    /// Hash of metric, condition and detector. How long the condition must hold, urgency, addressees and text are
    /// not part of it: a change of those keeps running episodes.
    pub fn generation(&self) -> u64 {
        #[derive(Serialize)]
        struct Meaning<'a> {
            metric: &'a MetricId,
            condition: &'a Condition,
            detector: &'static str,
        }
        let detector = match self.hold {
            Hold::Duration { .. } => "duration",
            Hold::Samples { .. } => "samples",
        };
        let meaning = Meaning { metric: &self.metric, condition: &self.condition, detector };
        let bytes = serde_json::to_vec(&meaning).expect("names and finite numbers are JSON");
        let hash = Sha256::digest(&bytes);
        u64::from_be_bytes(hash[..8].try_into().expect("a hash is longer than eight bytes"))
    }
}
