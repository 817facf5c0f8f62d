//! A stream in memory that can be split and merged between any two calls.

use std::{collections::BTreeMap, sync::Mutex};

use super::*;

const RECORD: &[u8] = br#"{"ff":1,"k":"tick","t":1769855400000}"#;

fn record() -> Vec<u8> {
    RECORD.to_vec()
}

/// What happens to the stream just before a call, by the number of the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// The open shard of this index is split in the middle.
    Split(usize),
    /// The open shard of this index and the next are merged.
    Merge(usize),
    /// This one call is rejected in part: for the open shard of this index.
    Throttle(usize),
}

struct Inner {
    shards: Vec<Shard>,
    records: BTreeMap<SmolStr, Vec<Vec<u8>>>,
    calls: usize,
    changes: Vec<(usize, Change)>,
}

struct Resharded(Mutex<Inner>);

impl Inner {
    fn add(&mut self, range: HashRange) {
        let id = SmolStr::new(format!("shardId-{:012}", self.shards.len()));
        self.shards.push(Shard { id, range, is_open: true });
    }

    /// Indices of the open shards, by their hash keys.
    fn open(&self) -> Vec<usize> {
        let mut open: Vec<usize> = (0..self.shards.len()).filter(|index| self.shards[*index].is_open).collect();
        open.sort_by_key(|index| self.shards[*index].range.first);
        open
    }

    /// Applies the changes due before this call; returns the hash key that the call rejects.
    fn begin(&mut self) -> Option<u128> {
        let mut refused = None;
        for (call, change) in self.changes.clone() {
            if call != self.calls {
                continue;
            }
            let open = self.open();
            match change {
                Change::Split(at) => {
                    let parent = open[at % open.len()];
                    let HashRange { first, last } = self.shards[parent].range;
                    let middle = first + (last - first) / 2;
                    self.shards[parent].is_open = false;
                    self.add(HashRange { first, last: middle });
                    self.add(HashRange { first: middle + 1, last });
                }
                Change::Merge(at) if open.len() > 1 => {
                    let (one, other) = (open[at % (open.len() - 1)], open[at % (open.len() - 1) + 1]);
                    let range = HashRange { first: self.shards[one].range.first, last: self.shards[other].range.last };
                    self.shards[one].is_open = false;
                    self.shards[other].is_open = false;
                    self.add(range);
                }
                Change::Merge(_) => {}
                Change::Throttle(at) => refused = Some(self.shards[open[at % open.len()]].range.first),
            }
        }
        self.calls += 1;
        refused
    }
}

impl Stream for Resharded {
    async fn shards(&self) -> Result<Vec<Shard>, PortError> {
        let mut inner = self.0.lock().unwrap();
        inner.begin();
        Ok(inner.shards.clone())
    }

    async fn put(&self, key: &str, record: &[u8], hash_keys: &BTreeSet<u128>) -> Result<BTreeSet<u128>, PortError> {
        assert_eq!(key, "tick");
        let mut inner = self.0.lock().unwrap();
        let refused = inner.begin();
        let mut left = BTreeSet::new();
        for key in hash_keys {
            if refused == Some(*key) {
                left.insert(*key);
                continue;
            }
            let takes = |shard: &&Shard| shard.is_open && (shard.range.first..=shard.range.last).contains(key);
            let id = inner.shards.iter().find(takes).expect("open shards take every key").id.clone();
            inner.records.entry(id).or_default().push(record.to_vec());
        }
        Ok(left)
    }
}

fn stream(shards: usize, changes: &[(usize, Change)]) -> Resharded {
    let mut inner = Inner { shards: Vec::new(), records: BTreeMap::new(), calls: 0, changes: changes.to_vec() };
    inner.add(HashRange::ALL);
    for at in 1..shards {
        inner.changes.insert(0, (usize::MAX, Change::Split(at)));
    }
    // The initial shards are created like all others.
    let (first, rest): (Vec<_>, Vec<_>) = inner.changes.iter().copied().partition(|(call, _)| *call == usize::MAX);
    for (_, change) in first {
        inner.changes = vec![(0, change)];
        inner.calls = 0;
        inner.begin();
    }
    inner.changes = rest;
    inner.calls = 0;
    Resharded(Mutex::new(inner))
}

/// Checks that every shard open at the end has the record.
async fn check(shards: usize, changes: &[(usize, Change)]) -> Told {
    let stream = stream(shards, changes);
    let told = tell(&stream, "tick", record).await.expect("the port answers");
    let inner = stream.0.lock().unwrap();
    let open = inner.open();
    for index in &open {
        let id = &inner.shards[*index].id;
        assert!(inner.records.contains_key(id), "{id} was left out by {changes:?}");
    }
    assert_eq!(told, Told { told: open.len(), missed: 0 }, "{changes:?}");
    told
}

#[tokio::test]
async fn a_quiet_stream_gets_one_record_a_shard() {
    let stream = stream(3, &[]);
    assert_eq!(tell(&stream, "tick", record).await, Ok(Told { told: 3, missed: 0 }));
    let inner = stream.0.lock().unwrap();
    assert_eq!(inner.records.values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(inner.calls, 3);
    let record = &inner.records.values().next().unwrap()[0];
    assert_eq!(record, RECORD);
}

#[tokio::test]
async fn a_record_reaches_every_open_shard_whatever_is_split_or_merged_meanwhile() {
    for shards in 1..=3 {
        for call in 0..6 {
            for at in 0..shards {
                for change in [Change::Split(at), Change::Merge(at), Change::Throttle(at)] {
                    check(shards, &[(call, change)]).await;
                    for next in call..call + 3 {
                        for second in [Change::Split(at + 1), Change::Merge(at), Change::Throttle(0)] {
                            check(shards, &[(call, change), (next, second)]).await;
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_said() {
    // The first shard rejects every record.
    let refused: Vec<(usize, Change)> = (0..100).map(|call| (call, Change::Throttle(0))).collect();
    let stream = stream(2, &refused);
    assert_eq!(tell(&stream, "tick", record).await, Ok(Told { told: 1, missed: 1 }));
}
