//! The keys of a shard's objects. Every host makes them here, so that all agree.

use crate::{
    drive::Settings,
    position::{Position, SEQUENCE_DIGITS_MAX},
};

/// Makes the keys of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Of deltas; a position follows. Text order is the order of positions.
    pub(crate) log: String,
    /// Of bases; the complement of a position follows, so that the newest is listed first.
    pub(crate) base: String,
    /// Of the mark that the shard has begun.
    pub(crate) start: String,
}

impl Keys {
    pub(crate) fn new(settings: &Settings, shard: &str) -> Self {
        let place = format!("{}/{}/{shard}", settings.generation, settings.repair);
        Self { log: format!("log/{place}/"), base: format!("base/{place}/"), start: format!("start/{place}") }
    }

    /// Of the delta that follows a position.
    pub(crate) fn delta(&self, position: Position) -> String {
        match position {
            // Before any digit in byte order.
            Position::Start => format!("{}-start", self.log),
            Position::After(sequence) => format!("{}{}", self.log, sequence.padded()),
        }
    }

    /// A key that sorts before that of the delta after `position`, and after those of all earlier deltas but a few.
    pub(crate) fn before(&self, position: Position) -> String {
        let mut key = self.delta(position);
        key.pop();
        key
    }

    /// Of the base at a position.
    pub(crate) fn base(&self, position: Position) -> String {
        match position {
            // After any digit in byte order.
            Position::Start => format!("{}z-start", self.base),
            Position::After(sequence) => {
                let complement: String =
                    sequence.padded().bytes().map(|digit| char::from(b'9' - digit + b'0')).collect();
                format!("{}{complement}", self.base)
            }
        }
    }
}

const _: () = assert!(SEQUENCE_DIGITS_MAX < 512, "an S3 key has at most 1,024 bytes");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{position::SequenceNumber, units::Millis};

    #[test]
    fn deltas_list_upwards_and_bases_downwards() {
        let settings =
            Settings { generation: 1, repair: 0, rule_set_sha256: String::new(), checkpoint_every: Millis(0) };
        let keys = Keys::new(&settings, "shardId-000000000000");
        let positions: Vec<Position> = ["0", "1", "9", "10", "123", &"9".repeat(SEQUENCE_DIGITS_MAX)]
            .iter()
            .map(|digits| Position::After(SequenceNumber::new(digits).unwrap()))
            .collect();
        let all: Vec<Position> = std::iter::once(Position::Start).chain(positions).collect();
        assert!(all.is_sorted_by_key(|position| keys.delta(*position)));
        assert!(all.iter().rev().is_sorted_by_key(|position| keys.base(*position)));
        assert!(all.iter().all(|position| keys.before(*position) < keys.delta(*position)));
        assert_eq!(keys.delta(Position::Start), "log/1/0/shardId-000000000000/-start");
        assert_eq!(keys.start, "start/1/0/shardId-000000000000");
    }
}
