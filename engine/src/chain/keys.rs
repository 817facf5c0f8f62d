//! The keys of a shard's objects. Every host makes them here, so that all agree.

use crate::{
    drive::Settings,
    position::{Position, SEQUENCE_DIGITS_MAX, SequenceNumber},
};

/// What the keys of all start marks begin with.
pub(crate) const STARTS: &str = "start/";

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
        Self::of(settings.generation, settings.repair, shard)
    }

    /// Of one shard under any generation and repair.
    pub(crate) fn of(generation: u32, repair: u32, shard: &str) -> Self {
        let place = format!("{generation}/{repair}/{shard}");
        Self { log: format!("log/{place}/"), base: format!("base/{place}/"), start: format!("{STARTS}{place}") }
    }

    /// The generation, the repair and the shard whose mark lies at a key; none if it is no such key.
    pub(crate) fn place_of_start(key: &str) -> Option<(u32, u32, &str)> {
        let mut parts = key.strip_prefix(STARTS)?.splitn(3, '/');
        let generation = parts.next()?.parse().ok()?;
        let repair = parts.next()?.parse().ok()?;
        Some((generation, repair, parts.next()?))
    }

    /// Of the mark that a generation of the stream has begun to look for the chains before it.
    pub(crate) fn generation(number: u32) -> String {
        format!("{STARTS}{number}")
    }

    /// The generation whose mark lies at a key; none if it is no such key.
    pub(crate) fn generation_at(key: &str) -> Option<u32> {
        key.strip_prefix(STARTS)?.parse().ok()
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

    /// The position that a delta of this key follows; none if it is no such key.
    pub(crate) fn position_of_delta(&self, key: &str) -> Option<Position> {
        match key.strip_prefix(&self.log)? {
            "-start" => Some(Position::Start),
            digits => SequenceNumber::new(digits).ok().map(Position::After),
        }
    }

    /// The position of the base of this key; none if it is no such key.
    pub(crate) fn position_of_base(&self, key: &str) -> Option<Position> {
        match key.strip_prefix(&self.base)? {
            "z-start" => Some(Position::Start),
            digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                let number: String = digits.bytes().map(|digit| char::from(b'9' - digit + b'0')).collect();
                SequenceNumber::new(&number).ok().map(Position::After)
            }
            _ => None,
        }
    }
}

const _: () = assert!(SEQUENCE_DIGITS_MAX < 512, "an S3 key has at most 1,024 bytes");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_list_upwards_and_bases_downwards() {
        let keys = Keys::of(1, 0, "shardId-000000000000");
        let positions: Vec<Position> = ["0", "1", "9", "10", "123", &"9".repeat(SEQUENCE_DIGITS_MAX)]
            .iter()
            .map(|digits| Position::After(SequenceNumber::new(digits).unwrap()))
            .collect();
        let all: Vec<Position> = std::iter::once(Position::Start).chain(positions).collect();
        assert!(all.is_sorted_by_key(|position| keys.delta(*position)));
        assert!(all.iter().rev().is_sorted_by_key(|position| keys.base(*position)));
        assert!(all.iter().all(|position| keys.before(*position) < keys.delta(*position)));
        for position in all {
            assert_eq!(keys.position_of_delta(&keys.delta(position)), Some(position));
            assert_eq!(keys.position_of_base(&keys.base(position)), Some(position));
        }
        assert_eq!(keys.position_of_base("base/1/0/shardId-000000000000/12x"), None);
        assert_eq!(keys.delta(Position::Start), "log/1/0/shardId-000000000000/-start");
        assert_eq!(keys.start, "start/1/0/shardId-000000000000");
        assert_eq!(Keys::place_of_start(&keys.start), Some((1, 0, "shardId-000000000000")));
        assert_eq!(Keys::place_of_start("start/1/x/shardId-000000000000"), None);
        assert_eq!(Keys::generation_at(&Keys::generation(2)), Some(2));
        assert_eq!((Keys::place_of_start(&Keys::generation(2)), Keys::generation_at(&keys.start)), (None, None));
    }
}
