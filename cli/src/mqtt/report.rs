//! The reports on a run over MQTT, while it lasts and when it is over.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::tally::Tally;
use crate::terminal::{Stop, counted, tell};

/// What the fleet itself sent, in addition to what the tally counts.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) samples: u64,
    pub(super) malformed: u64,
    /// How late the latest message was given to its device, in milliseconds.
    pub(super) latest_ms: u64,
}

/// When a run started. Connecting and disconnecting are not part of it: they are other work for a broker.
pub(super) struct Begin {
    at: Instant,
    written: u64,
}

impl Begin {
    pub(super) fn new(tally: &Tally) -> Self {
        tally.latencies.forget();
        Self { at: Instant::now(), written: tally.sent.load(Relaxed) }
    }

    /// How fast it went until now.
    pub(super) fn pace(&self, tally: &Tally) -> Pace {
        let ms = |latency: Duration| latency.as_secs_f64() * 1_000.0;
        let written = tally.sent.load(Relaxed) - self.written;
        Pace {
            seconds: self.at.elapsed().as_secs_f64(),
            written,
            latencies_ms: [0.5, 0.99, 1.0].map(|share| tally.latencies.quantile(share).map_or(0.0, ms)),
        }
    }
}

/// How fast a run went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    seconds: f64,
    written: u64,
    /// The median and the 99th percentile of the latency, and the longest.
    latencies_ms: [f64; 3],
}

/// A run that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) devices: u64,
    /// The number of devices of each profile.
    pub(super) by_profile: &'a str,
    /// Whether what is sent is acknowledged, as by QoS 1.
    pub(super) is_acknowledged: bool,
    pub(super) pace: Pace,
}

/// Reports the progress of a run.
pub(super) fn tell_progress(tally: &Tally, share: f64) {
    let get = |counter: &AtomicU64| counter.load(Relaxed);
    tell(format_args!(
        "{:.0} %: {} messages, {} acknowledged; {} devices are connected",
        100.0 * share,
        get(&tally.sent),
        get(&tally.acknowledged),
        get(&tally.connected)
    ));
}

/// Reports the outcome. A device that never connected is a failure, and so is a message that was not acknowledged.
pub(super) fn tell_of(sent: &Sent, tally: &Tally, run: Run<'_>) -> Result<(), Stop> {
    let Run { devices, by_profile, is_acknowledged, pace } = run;
    let get = |counter: &AtomicU64| counter.load(Relaxed);
    let (known, written, acknowledged) = (get(&tally.known), get(&tally.sent), get(&tally.acknowledged));
    tell(format_args!(
        "{} sent {} with {}; {} of the messages are malformed",
        counted(known, "device"),
        counted(sent.messages, "message"),
        counted(sent.samples, "sample"),
        sent.malformed
    ));
    tell(format_args!("profiles: {by_profile}"));
    let Pace { seconds, written: in_run, latencies_ms: [half, most, longest] } = pace;
    tell(format_args!(
        "with status and shadow reports: {written} messages, {acknowledged} acknowledged; sent again: {}",
        get(&tally.repeated)
    ));
    tell(format_args!(
        "while all were connected: {:.1} messages per second for {seconds:.1} s",
        in_run as f64 / seconds
    ));
    if is_acknowledged {
        tell(format_args!("from PUBLISH to PUBACK: p50 {half:.1} ms, p99 {most:.1} ms, longest {longest:.1} ms"));
    }
    tell(format_args!(
        "connections lost: {}; messages received: {}; the latest message was {:.1} s late",
        get(&tally.lost),
        get(&tally.received),
        sent.latest_ms as f64 / 1_000.0
    ));
    for (reason, times) in tally.reasons() {
        tell(format_args!("{times} times: {reason}"));
    }
    let given = sent.messages + get(&tally.own);
    let done = if is_acknowledged { acknowledged } else { written };
    let problems = [
        (devices - known, "devices were never connected"),
        (given - done, if is_acknowledged { "messages were not acknowledged" } else { "messages were not sent" }),
        (get(&tally.dropped), "messages did not fit into the queue of their device"),
        (get(&tally.unsubscribed), "subscriptions were refused"),
    ];
    let problems: Vec<String> =
        problems.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if problems.is_empty() { Ok(()) } else { Err(Stop::failed(problems.join(", "))) }
}
