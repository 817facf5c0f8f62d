//! What a device was from which record of the stream on. A row says what its device was when the message came, also when
//! the message is stored again after the device has moved.

use fleetform_engine::{
    ids::{DeviceTypeId, ZoneId},
    position::SequenceNumber,
    reason::Reason,
    state::Registration,
    units::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Registrations that are kept of a device. A batch is stored again within days, and devices move rarely.
const KEPT_MAX: usize = 16;

/// A place in all streams that the platform has had: by the stream's generation, then the record's number.
///
/// The record of a device and its messages come in one order, since they share a partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The stream's generation.
    pub generation: u32,
    /// The record's number.
    pub sequence: SequenceNumber,
}

/// What a device is from a record on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The record; none where it was so before anything was stored.
    pub from: Option<Place>,
    /// When that reached the platform.
    pub at: Timestamp,
    /// One that is not above the one before says nothing.
    pub revision: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub device_type: DeviceTypeId,
    /// Its zone.
    pub zone: ZoneId,
    /// Whether it is out of service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl Registered {
    /// By a record of the stream and its time.
    pub fn by_record(registration: &Registration, place: Place, at: Timestamp) -> Self {
        Self { from: Some(place), at, ..Self::before(registration) }
    }

    /// By what was known before anything was stored.
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

/// What a device was. What was known before anything was stored comes first, and is a guess: it is what the device was
/// when its states were asked, and records that lie before in the stream may say otherwise. So every record counts for
/// itself, and the guess where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Registered>);

impl History {
    /// A history that begins so.
    pub fn beginning(registered: Registered) -> Self {
        Self(vec![registered])
    }

    /// The newest revision that a record has said; zero where none has.
    pub fn revision(&self) -> u64 {
        self.by_records().last().map_or(0, |last| last.revision)
    }

    /// By rising place and revision.
    fn by_records(&self) -> &[Registered] {
        let guesses = self.0.iter().take_while(|registered| registered.from.is_none()).count();
        &self.0[guesses..]
    }

    /// Adds what a record says. `false` if that was known, or is older than what a record has said.
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
    /// If it was nothing then: never registered, or out of service.
    pub fn at(&self, place: &Place) -> Result<&Registered, Reason> {
        self.newest(|registered| registered.from.is_some_and(|from| from <= *place))
    }

    /// What the device was at a time, for a message that comes once more: its place in the stream is another one.
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
        // Whether it was in service then is not known: it was when it sent this.
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
        // Another stream counts from the beginning, and comes later all the same.
        assert_eq!(zone_at(&history, place(2, "1")), Ok("zone-b".to_owned()));
        // A message that comes once more goes by its first time.
        let zone_then = |time| history.at_time(Timestamp(time)).map(|registered| registered.zone.to_string());
        assert_eq!(zone_then(999), Ok("zone-a".to_owned()));
        assert_eq!(zone_then(1_000), Ok("zone-b".to_owned()));
        assert_eq!(zone_then(99), Err(Reason::UnknownDevice));
    }

    #[test]
    fn what_states_know_counts_where_no_record_says_anything() {
        let mut history = History::beginning(registered(None, 7, "zone-c"));
        assert_eq!((history.revision(), zone_at(&history, place(1, "1"))), (0, Ok("zone-c".to_owned())));
        // The stream still holds the records that made it what it is.
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
        // It was in service when it sent what lies before the record of its end.
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
