//! The tables of a platform, in which every row is put once: a row that is put again must have the same content.

use std::collections::HashMap;

use fleetform_engine::effect::{Alert, Notification, Quarantined};

use crate::clock::InvocationNumber;

/// The tables, each in the order in which its rows were put.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Notices, by id.
    pub outbox: Vec<Notification>,
    /// The newest transition of each episode.
    pub alerts: Vec<Alert>,
    /// Records set aside, by shard and sequence.
    pub quarantine: Vec<Quarantined>,
    /// When, and by which invocation, each row of the outbox was put.
    pub(crate) put: Vec<Put>,
    /// Rows put again under the same key with other content.
    pub contradictions: Vec<String>,
    places: HashMap<(u8, String, String), usize>,
}

/// The origin of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put {
    pub(crate) at: i64,
    pub(crate) invocation: InvocationNumber,
}

impl Rows {
    pub(crate) fn notice(&mut self, row: &Notification, put: Put) {
        match self.places.get(&(0, row.id.to_string(), String::new())) {
            Some(place) if self.outbox[*place] == *row => {}
            Some(_) => self.contradictions.push(format!("notice {}", row.id)),
            None => {
                self.places.insert((0, row.id.to_string(), String::new()), self.outbox.len());
                self.outbox.push(row.clone());
                self.put.push(put);
            }
        }
    }

    pub(crate) fn transition(&mut self, row: &Alert) {
        let key = (1, row.subject().to_string(), row.episode.to_string());
        match self.places.get(&key) {
            Some(place) => {
                let there = &mut self.alerts[*place];
                if there.version() < row.version() {
                    there.clone_from(row);
                } else if there.version() == row.version() && *there != *row {
                    self.contradictions.push(format!("alert {} of {}", row.episode, row.subject()));
                }
            }
            None => {
                self.places.insert(key, self.alerts.len());
                self.alerts.push(row.clone());
            }
        }
    }

    pub(crate) fn set_aside(&mut self, row: &Quarantined) {
        let key = (2, row.shard.to_string(), row.sequence.to_string());
        match self.places.get(&key) {
            Some(place) if self.quarantine[*place] == *row => {}
            Some(_) => self.contradictions.push(format!("record {} of {}", row.sequence, row.shard)),
            None => {
                self.places.insert(key, self.quarantine.len());
                self.quarantine.push(row.clone());
            }
        }
    }
}
