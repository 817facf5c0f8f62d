//! A device's type and zone, from which record of the stream on. A row has those from when the message came, even if
//! the message is stored again after the device has moved.

use fleetform_engine::{
    ids::{DeviceTypeId, ZoneId},
    position::SequenceNumber,
    reason::Reason,
    state::Registration,
    units::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Maximum registrations kept for a device. A batch is stored again within days, and devices rarely move.
const KEPT_MAX: usize = 16;

/// A position in all streams that the platform has had: the stream's generation, then the record's sequence number.
///
/// A device's registrations and messages are in one order, since they share a partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The stream's generation.
    pub generation: u32,
    /// The record's sequence number.
    pub sequence: SequenceNumber,
}

/// What a device is from one record on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The record; `None` if this was known before anything was stored.
    pub from: Option<Place>,
    /// When the record reached the platform.
    pub at: Timestamp,
    /// The revision. A registration whose revision is not greater than the previous one is ignored.
    pub revision: u64,
    /// The id of the device type.
    #[serde(rename = "type")]
    pub device_type: DeviceTypeId,
    /// The zone's id.
    pub zone: ZoneId,
    /// Whether it is out of service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl Registered {
    /// A registration from a record of the stream, with the record's time.
    pub fn by_record(registration: &Registration, place: Place, at: Timestamp) -> Self {
        Self { from: Some(place), at, ..Self::before(registration) }
    }

    /// A registration that was known before anything was stored.
    pub fn before(registration: &Registration) -> Self {
        Self {
            from: None,
            at: Timestamp::default(),
            revision: registration.revision,
            device_type: registration.device_type.clone(),
            zone: registration.zone.clone(),
            retired: registration.retired,
        }
    }
}

/// The history of a device. What was known before anything was stored comes first, and is a guess: it is the device's
/// state at the time when the shard's chain was read, and earlier records of the stream may contradict it. So every
/// record takes precedence, and the guess applies where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Registered>);

impl History {
    /// A history that starts with this registration.
    pub fn beginning(registered: Registered) -> Self {
        Self(vec![registered])
    }

    /// The newest revision from a record; zero if there is none.
    pub fn revision(&self) -> u64 {
        self.by_records().last().map_or(0, |last| last.revision)
    }

    /// The registrations from records, in order of position and revision.
    fn by_records(&self) -> &[Registered] {
        let guesses = self.0.iter().take_while(|registered| registered.from.is_none()).count();
        &self.0[guesses..]
    }

    /// Adds a registration from a record. Returns `false` if it is known, or older than one that is.
    pub fn add(&mut self, registered: Registered) -> bool {
        if registered.revision <= self.revision() {
            return false;
        }
        if self.by_records().len() == KEPT_MAX {
            let oldest = self.0.len() - KEPT_MAX;
            self.0.remove(oldest);
        }
        self.0.push(registered);
        true
    }

    /// What the device was when a record came.
    ///
    /// # Errors
    /// If it was not registered then, or out of service.
    pub fn at(&self, place: &Place) -> Result<&Registered, Reason> {
        self.newest(|registered| registered.from.is_some_and(|from| from <= *place))
    }

    /// What the device was at a point in time, for a message that comes again: its position in the stream has changed.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn at_time(&self, time: Timestamp) -> Result<&Registered, Reason> {
        self.newest(|registered| registered.at <= time)
    }

    fn newest(&self, is_before: impl Fn(&Registered) -> bool) -> Result<&Registered, Reason> {
        if let Some(registered) = self.by_records().iter().rev().find(|registered| is_before(registered)) {
            return if registered.retired { Err(Reason::RetiredDevice) } else { Ok(registered) };
        }
        // It is not known whether it was in service then, but it was when it sent this message.
        self.0.first().filter(|registered| registered.from.is_none()).ok_or(Reason::UnknownDevice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(generation: u32, sequence: &str) -> Place {
        Place { generation, sequence: SequenceNumber::new(sequence).unwrap() }
    }

    fn registered(from: Option<Place>, revision: u64, zone: &str) -> Registered {
        let (device_type, zone) = ("pump".parse().unwrap(), zone.parse().unwrap());
        let at = Timestamp(from.map_or(0, |from| from.sequence.digits().parse().unwrap()));
        Registered { from, at, revision, device_type, zone, retired: false }
    }

    fn zone_at(history: &History, place: Place) -> Result<String, Reason> {
        history.at(&place).map(|registered| registered.zone.to_string())
    }

    #[test]
    fn a_message_finds_what_the_device_was_then() {
        let mut history = History::default();
        assert!(history.add(registered(Some(place(1, "100")), 1, "zone-a")));
        assert!(history.add(registered(Some(place(1, "1000")), 2, "zone-b")));
        assert_eq!(zone_at(&history, place(1, "99")), Err(Reason::UnknownDevice));
        assert_eq!(zone_at(&history, place(1, "100")), Ok("zone-a".to_owned()));
        assert_eq!(zone_at(&history, place(1, "999")), Ok("zone-a".to_owned()));
        assert_eq!(zone_at(&history, place(1, "1001")), Ok("zone-b".to_owned()));
        // Another stream starts numbering from the beginning, and still comes later.
        assert_eq!(zone_at(&history, place(2, "1")), Ok("zone-b".to_owned()));
        // A message that comes again counts by its original time.
        let zone_then = |time| history.at_time(Timestamp(time)).map(|registered| registered.zone.to_string());
        assert_eq!(zone_then(999), Ok("zone-a".to_owned()));
        assert_eq!(zone_then(1_000), Ok("zone-b".to_owned()));
        assert_eq!(zone_then(99), Err(Reason::UnknownDevice));
    }

    #[test]
    fn what_states_know_counts_where_no_record_says_anything() {
        let mut history = History::beginning(registered(None, 7, "zone-c"));
        assert_eq!((history.revision(), zone_at(&history, place(1, "1"))), (0, Ok("zone-c".to_owned())));
        // The stream still holds the records that led to this state.
        assert!(history.add(registered(Some(place(1, "100")), 6, "zone-a")));
        assert!(history.add(registered(Some(place(1, "200")), 7, "zone-c")));
        assert!(!history.add(registered(Some(place(1, "300")), 7, "zone-b")));
        assert_eq!(zone_at(&history, place(1, "50")), Ok("zone-c".to_owned()));
        assert_eq!(zone_at(&history, place(1, "150")), Ok("zone-a".to_owned()));
        assert_eq!(zone_at(&history, place(1, "200")), Ok("zone-c".to_owned()));
        assert_eq!(history.revision(), 7);
    }

    #[test]
    fn a_device_out_of_service_sends_nothing_that_is_stored() {
        let retired = |from| Registered { retired: true, ..registered(from, 2, "zone-a") };
        // It was in service when it sent the messages before the record that retired it.
        let mut history = History::beginning(retired(None));
        history.add(retired(Some(place(1, "10"))));
        assert_eq!(zone_at(&history, place(1, "9")), Ok("zone-a".to_owned()));
        assert_eq!(zone_at(&history, place(1, "11")), Err(Reason::RetiredDevice));
    }

    #[test]
    fn the_newest_registrations_are_kept_and_the_guess() {
        let mut history = History::beginning(registered(None, 9, "zone-c"));
        for revision in 1..=40 {
            history.add(registered(Some(place(1, &(revision * 10).to_string())), revision, "zone-a"));
        }
        assert_eq!(history.0.len(), KEPT_MAX + 1);
        assert_eq!(history.revision(), 40);
        assert_eq!(zone_at(&history, place(1, "10")), Ok("zone-c".to_owned()));
    }

    #[test]
    fn a_history_reads_what_it_writes() {
        let history = History(vec![registered(None, 1, "zone-a"), registered(Some(place(2, "10")), 2, "zone-b")]);
        let text = serde_json::to_string(&history).expect("JSON");
        assert!(text.len() < 300, "{text}");
        assert_eq!(serde_json::from_str::<History>(&text).expect("a history"), history);
    }
}
