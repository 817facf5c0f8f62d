//! The messages of a device: those that wait, and those whose PUBACK is outstanding.
//!
//! Messages keep their order, and one that was written stays here until it is acknowledged, whatever happens to the
//! connection.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use rumqttc::mqttbytes::{QoS, v4::Publish};

/// The most messages without a PUBACK: AWS IoT allows a hundred.
pub(crate) const UNACKNOWLEDGED_MAX: usize = 20;

/// The most messages that wait.
pub(crate) const WAITING_MAX: usize = 1_000;

/// A message of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) retained: bool,
}

/// Messages of one device.
#[derive(Debug)]
pub(crate) struct Outbox {
    qos: QoS,
    waiting: VecDeque<Message>,
    /// In the order in which they were first written.
    unacknowledged: VecDeque<Written>,
    last_id: u16,
}

#[derive(Debug)]
struct Written {
    id: u16,
    at: Instant,
    message: Message,
}

impl Outbox {
    pub(crate) fn new(qos: QoS) -> Self {
        Self { qos, waiting: VecDeque::new(), unacknowledged: VecDeque::new(), last_id: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.unacknowledged.is_empty()
    }

    /// Whether a further message may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.waiting.push_back(message);
    }

    /// Puts a message ahead of all that wait.
    pub(crate) fn push_first(&mut self, message: Message) {
        self.waiting.push_front(message);
    }

    /// An id for a packet that waits for an answer, unique among those that wait.
    pub(crate) fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.unacknowledged.iter().all(|written| written.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The next message to write, unless too many are not acknowledged.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Publish> {
        if self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            return None;
        }
        let message = self.waiting.pop_front()?;
        let mut publish = packet(self.qos, &message);
        if self.qos != QoS::AtMostOnce {
            publish.pkid = self.next_id();
            self.unacknowledged.push_back(Written { id: publish.pkid, at: now, message });
        }
        Some(publish)
    }

    /// The messages to write again on a new connection, in order.
    pub(crate) fn again(&self) -> impl Iterator<Item = Publish> {
        self.unacknowledged.iter().map(|written| {
            let mut publish = packet(self.qos, &written.message);
            (publish.pkid, publish.dup) = (written.id, true);
            publish
        })
    }

    /// Takes a PUBACK, and returns the moment at which its message was first written.
    pub(crate) fn acknowledge(&mut self, id: u16) -> Option<Instant> {
        let at = self.unacknowledged.iter().position(|written| written.id == id)?;
        self.unacknowledged.remove(at).map(|written| written.at)
    }
}

fn packet(qos: QoS, message: &Message) -> Publish {
    let mut publish = Publish::from_bytes(message.topic.as_str(), qos, message.payload.clone());
    publish.retain = message.retained;
    publish
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Message {
        Message { topic: "a/b".to_owned(), payload: Bytes::from(number.to_string()), retained: number == 0 }
    }

    fn outbox(qos: QoS, messages: usize) -> Outbox {
        let mut outbox = Outbox::new(qos);
        (0..messages).for_each(|number| outbox.push(message(number)));
        outbox
    }

    fn written(outbox: &mut Outbox) -> Vec<Publish> {
        std::iter::from_fn(|| outbox.next(Instant::now())).collect()
    }

    #[test]
    fn a_message_stays_until_it_is_acknowledged() {
        let mut outbox = outbox(QoS::AtLeastOnce, UNACKNOWLEDGED_MAX + 5);
        let first = written(&mut outbox);
        assert_eq!(first.len(), UNACKNOWLEDGED_MAX);
        assert!(first[0].retain && !first[1].retain);
        assert!(outbox.acknowledge(first[3].pkid).is_some());
        assert!(outbox.acknowledge(first[3].pkid).is_none(), "a PUBACK comes once");
        // The connection is lost: the others are written again, as they were and in their order.
        let again: Vec<_> = outbox.again().map(|publish| (publish.pkid, publish.payload, publish.dup)).collect();
        let expected = first.iter().filter(|publish| publish.pkid != first[3].pkid);
        let expected: Vec<_> = expected.map(|publish| (publish.pkid, publish.payload.clone(), true)).collect();
        assert_eq!(again, expected);
        let next = written(&mut outbox);
        assert_eq!(next.len(), 1, "one was acknowledged, so there is room for one");
        for publish in first.iter().chain(&next) {
            outbox.acknowledge(publish.pkid);
        }
        assert_eq!(written(&mut outbox).len(), 4);
        assert!(!outbox.is_empty());
    }

    #[test]
    fn an_id_that_waits_for_its_answer_is_not_given_again() {
        let mut outbox = outbox(QoS::AtLeastOnce, 1);
        let first = written(&mut outbox)[0].pkid;
        for _ in 0..=u16::MAX as usize {
            let id = outbox.next_id();
            assert!(id != 0 && id != first);
        }
    }

    #[test]
    fn without_acknowledgement_a_message_is_gone_once_it_is_written() {
        let mut outbox = outbox(QoS::AtMostOnce, 3 * UNACKNOWLEDGED_MAX);
        outbox.push_first(message(1_000));
        let written = written(&mut outbox);
        assert_eq!(written.len(), 3 * UNACKNOWLEDGED_MAX + 1);
        assert_eq!(written[0].payload, "1000");
        assert!(outbox.is_empty());
        assert_eq!(outbox.again().count(), 0);
    }
}
