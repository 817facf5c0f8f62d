//! A simulated fleet on a deployed platform's telemetry stream: each record is put at its time.
//!
//! If the stream accepts less than the fleet sends, the fleet is late, but nothing is lost.

use std::time::Duration;

use fleetform_engine::units::Timestamp;
use fleetform_fleet::{Event, Fleet};
use fleetform_generator::platform::Platform;

use crate::{
    deployed::now,
    sender::{Record, Sender},
    terminal::{Stop, tell},
};

/// The most records that wait. At the limit the fleet is not asked for more.
const WAITING_MAX: usize = 20_000;

/// How often progress is reported.
const PROGRESS_EVERY_MS: i64 = 10_000;

/// What was put.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Messages, without the registrations.
    pub(crate) messages: u64,
    pub(crate) samples: u64,
    pub(crate) malformed: u64,
    /// Records that were refused at first and retried.
    pub(crate) retried: u64,
    /// How late the latest message was, in milliseconds.
    pub(crate) latest_ms: u64,
}

/// Puts the registrations, and then every message at its time.
pub(crate) fn send(
    platform: &Platform,
    stream: Option<&str>,
    fleet: &mut Fleet<'_>,
    registrations: Vec<Record>,
) -> Result<Sent, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format_args!("cannot start: {error}")))?;
    runtime.block_on(async {
        let mut run = Run { sender: Sender::open(platform, stream).await?, sent: Sent::default() };
        run.sender.take(registrations);
        while run.sender.waiting() > 0 {
            run.sender.put().await?;
        }
        tell(format_args!("the devices are registered on {} and start to send", run.sender.stream()));
        run.follow(fleet).await?;
        Ok(Sent { retried: run.sender.retried(), ..run.sent })
    })
}

struct Run {
    sender: Sender,
    sent: Sent,
}

impl Run {
    async fn follow(&mut self, fleet: &mut Fleet<'_>) -> Result<(), Stop> {
        let mut next = fleet.next();
        let mut told = now();
        while next.is_some() || self.sender.waiting() > 0 {
            let moment = now();
            while let Some(event) = next.take_if(|event| event.at <= moment && self.sender.waiting() < WAITING_MAX) {
                self.count(&event, moment);
                let key = fleet.devices()[event.device].id.to_string();
                self.sender.take([Record { key, data: fleet.record(&event) }]);
                next = fleet.next();
            }
            if self.sender.waiting() == 0 {
                let wait = next.as_ref().map_or(0, |event| (event.at.0 - moment.0).max(1).unsigned_abs());
                tokio::time::sleep(Duration::from_millis(wait)).await;
            } else {
                self.sender.put().await?;
            }
            if now().0 - told.0 >= PROGRESS_EVERY_MS {
                told = now();
                let (messages, waiting) = (self.sent.messages, self.sender.waiting());
                tell(format_args!("{:.0} %: {messages} messages, {waiting} wait", 100.0 * fleet.share(told)));
            }
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, moment: Timestamp) {
        self.sent.messages += 1;
        self.sent.samples += event.samples as u64;
        self.sent.malformed += u64::from(event.is_malformed);
        self.sent.latest_ms = self.sent.latest_ms.max(moment.since(event.at).0);
    }
}
