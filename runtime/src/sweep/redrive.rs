//! Open notices that have not been touched for a while, because the function that should have delivered them lost them.
//! Their rows are changed, which puts them into their table's stream again, and the notifier claims what it sends as
//! usual. So a notice that is redriven twice is still sent once.

use fleetform_engine::{drive::PortError, units::Timestamp};
use futures_util::{StreamExt as _, stream};
use smol_str::SmolStr;

use crate::outbox::REDRIVE_AFTER;

/// Maximum notices in one sweep: the oldest first, the others in the next.
pub const REDRIVEN_MAX: usize = 1_000;
/// Rows that are changed concurrently.
const AT_ONCE: usize = 16;

/// An open notice that has not been touched for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The notice's id.
    pub notification: SmolStr,
    /// When its row was last put into the stream.
    pub touched_at: Timestamp,
}

/// The port to the outbox, for the sweep.
pub trait Outbox: Sync {
    /// Open notices that were last touched before this time, up to `limit`.
    fn waiting(&self, before: Timestamp, limit: usize) -> impl Future<Output = Result<Vec<Waiting>, PortError>> + Send;

    /// Puts a notice into the stream again, unless it was settled or touched in the meantime; returns whether it was
    /// put.
    fn touch(&self, waiting: &Waiting, now: Timestamp) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// Puts notices that have not been touched for two minutes into the stream again, and returns their number. A notice
/// that is too old to be delivered is included: the notifier settles it.
pub async fn redrive<O: Outbox>(outbox: &O, now: Timestamp) -> Result<usize, PortError> {
    let waiting = outbox.waiting(now.before(REDRIVE_AFTER), REDRIVEN_MAX).await?;
    let touched = stream::iter(&waiting).map(|waiting| outbox.touch(waiting, now)).buffer_unordered(AT_ONCE);
    let touched: Vec<Result<bool, PortError>> = touched.collect().await;
    // One that cannot be changed does not hold up the others.
    touched.into_iter().try_fold(0, |sum, touched| Ok(sum + usize::from(touched?)))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use fleetform_engine::units::Millis;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    /// A row: whether it is open, and when it was last touched.
    type Row = (bool, Timestamp);

    struct Table(Mutex<BTreeMap<SmolStr, Row>>);

    impl Outbox for Table {
        async fn waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, PortError> {
            let rows = self.0.lock().unwrap();
            let waiting = rows.iter().filter(|(_, (open, at))| *open && *at < before);
            Ok(waiting.take(limit).map(|(id, (_, at))| Waiting { notification: id.clone(), touched_at: *at }).collect())
        }

        async fn touch(&self, waiting: &Waiting, now: Timestamp) -> Result<bool, PortError> {
            if waiting.notification == "throttled" {
                return Err(PortError("throttled".to_owned()));
            }
            let mut rows = self.0.lock().unwrap();
            let row = rows.get_mut(&waiting.notification).unwrap();
            // What happens between reading and touching.
            if waiting.notification == "settled-meanwhile" {
                row.0 = false;
            }
            let holds = *row == (true, waiting.touched_at);
            if holds {
                row.1 = now;
            }
            Ok(holds)
        }
    }

    fn table(rows: &[(&str, bool, u64)]) -> Table {
        let row =
            |(id, open, age_s): &(&str, bool, u64)| (SmolStr::new(id), (*open, NOW.before(Millis::from_secs(*age_s))));
        Table(Mutex::new(rows.iter().map(row).collect()))
    }

    #[tokio::test]
    async fn only_open_notices_of_the_right_age_go_round_again_and_once_in_two_minutes() {
        let table = table(&[
            ("fresh", true, 119),
            ("just-two-minutes", true, 120),
            ("lost", true, 121),
            ("lost-long-ago", true, 80_000),
            ("too-old-to-be-told", true, 86_401),
            ("sent", false, 500),
            ("settled-meanwhile", true, 500),
        ]);
        assert_eq!(redrive(&table, NOW).await, Ok(3));
        assert_eq!(redrive(&table, NOW.after(Millis::from_secs(60))).await, Ok(2), "those that were too young before");
        assert_eq!(redrive(&table, NOW.after(Millis::from_secs(119))).await, Ok(0));
        assert_eq!(redrive(&table, NOW.after(Millis::from_secs(121))).await, Ok(3), "nobody has delivered them yet");
    }

    #[tokio::test]
    async fn one_row_that_cannot_be_changed_keeps_no_other_back() {
        let table = table(&[("a", true, 200), ("throttled", true, 300), ("z", true, 200)]);
        assert!(redrive(&table, NOW).await.is_err());
        let rows = table.0.lock().unwrap();
        assert_eq!((rows["a"].1, rows["z"].1), (NOW, NOW));
    }
}
