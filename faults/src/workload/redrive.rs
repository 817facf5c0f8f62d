//! Records that the event source gives up on, or that are set aside, and that operators redrive. The expected result
//! is not known here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{Fact, Writer};
use crate::random::Random;

/// The records to redrive.
pub(super) struct Losses {
    /// Draws separately from everything else, so that a log is the same except for its losses.
    random: Random,
    waiting: Vec<Lost>,
}

struct Lost {
    key: String,
    data: String,
    ingest: i64,
    fact: Fact,
}

impl Losses {
    pub(super) fn new(random: Random) -> Self {
        Self { random, waiting: Vec::new() }
    }

    /// Whether a record is lost. Some records that are set aside also wait to be redriven.
    pub(super) fn take(&mut self, (key, data): (&str, &str), ingest: i64, fact: &Fact) -> bool {
        let (is_kept, is_lost) = match fact {
            Fact::Message(..) | Fact::Status(..) | Fact::Alarm(..) | Fact::Connection(..) => {
                let is_lost = self.random.per_mille(25);
                // A record that was evaluated may be redriven too.
                (is_lost || self.random.per_mille(5), is_lost)
            }
            Fact::Device(..) => {
                let is_lost = self.random.per_mille(40);
                (is_lost, is_lost)
            }
            Fact::Bad(..) => (self.random.per_mille(300), false),
            Fact::Poison(_) | Fact::Rules(..) | Fact::Override(_) | Fact::Again(_) | Fact::Member(_) => (false, false),
        };
        if is_kept {
            self.waiting.push(Lost { key: key.to_owned(), data: data.to_owned(), ingest, fact: fact.clone() });
        }
        is_lost
    }
}

impl Writer<'_> {
    /// Operators redrive everything that waits, in the order in which it first arrived, and some of it twice.
    pub(super) fn redrive(&mut self, at: i64) {
        let Some(losses) = &mut self.losses else { return };
        if losses.waiting.is_empty() || !losses.random.per_mille(12) {
            return;
        }
        let mut waiting = std::mem::take(&mut losses.waiting);
        waiting.sort_by_key(|lost| lost.ingest);
        for Lost { key, data, ingest, fact } in waiting {
            let record = json!({ "ff": 1, "k": "redrive", "p": STANDARD.encode(&data), "t": ingest }).to_string();
            for _ in 0..=u8::from(losses.random.per_mille(100)) {
                let fact = Fact::Again(Box::new(fact.clone()));
                self.stream.put(&mut losses.random, &key, &record, at, Some(ingest), fact);
            }
        }
    }
}
