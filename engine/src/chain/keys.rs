//! The keys of a shard's objects. Every host builds them here, so that all agree.

use crate::{
    drive::Settings,
    position::{Position, SEQUENCE_DIGITS_MAX, SequenceNumber},
};

/// Prefix of the keys of all start marks.
pub(crate) const STARTS: &str = "start/";

/// Builds the keys of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Prefix of delta keys; a position follows. Byte order of the keys is the order of positions.
    pub(crate) log: String,
    /// Prefix of base keys; the complement of a position follows, so that the newest is listed first.
    pub(crate) base: String,
    /// Key of the mark that the shard has started.
    pub(crate) start: String,
}

impl Keys {
    pub(crate) fn new(settings: &Settings, shard: &str) -> Self {
        Self::of(settings.generation, settings.repair, shard)
    }

    /// Creates the keys of one shard under any generation and repair number.
    pub(crate) fn of(generation: u32, repair: u32, shard: &str) -> Self {
        let place = format!("{generation}/{repair}/{shard}");
        Self { log: format!("log/{place}/"), base: format!("base/{place}/"), start: format!("{STARTS}{place}") }
    }

    /// Returns the generation, the repair number and the shard whose start mark lies at a key; `None` if it is not
    /// the key of a start mark.
    pub(crate) fn place_of_start(key: &str) -> Option<(u32, u32, &str)> {
        let mut parts = key.strip_prefix(STARTS)?.splitn(3, '/');
        let generation = parts.next()?.parse().ok()?;
        let repair = parts.next()?.parse().ok()?;
        Some((generation, repair, parts.next()?))
    }

    /// Returns the key of the mark that a generation of the stream has started to look for earlier chains.
    pub(crate) fn generation(number: u32) -> String {
        format!("{STARTS}{number}")
    }

    /// Returns the generation whose mark lies at a key; `None` if it is not the key of such a mark.
    pub(crate) fn generation_at(key: &str) -> Option<u32> {
        key.strip_prefix(STARTS)?.parse().ok()
    }

    /// Returns the key of the delta that follows a position.
    pub(crate) fn delta(&self, position: Position) -> String {
        match position {
            // Sorts before any digit in byte order.
            Position::Start => format!("{}-start", self.log),
            Position::After(sequence) => format!("{}{}", self.log, sequence.padded()),
        }
    }

    /// Returns a key that sorts before that of the delta after `position`, and after those of all but a few earlier
    /// deltas.
    pub(crate) fn before(&self, position: Position) -> String {
        let mut key = self.delta(position);
        key.pop();
        key
    }

    /// Returns the key of the base at a position.
    pub(crate) fn base(&self, position: Position) -> String {
        match position {
            // Sorts after any digit in byte order.
            Position::Start => format!("{}z-start", self.base),
            Position::After(sequence) => {
                let complement: String =
                    sequence.padded().bytes().map(|digit| char::from(b'9' - digit + b'0')).collect();
                format!("{}{complement}", self.base)
            }
        }
    }

    /// Returns the position that the delta at a key follows; `None` if it is not the key of a delta.
    pub(crate) fn position_of_delta(&self, key: &str) -> Option<Position> {
        match key.strip_prefix(&self.log)? {
            "-start" => Some(Position::Start),
            digits => SequenceNumber::new(digits).ok().map(Position::After),
        }
    }

    /// Returns the position of the base at a key; `None` if it is not the key of a base.
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
