//! A run of a connected fleet: waits for the devices, gives each its messages at their times, and lets them finish.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use fleetform_fleet::{Fleet, Kind};
use tokio::{
    sync::mpsc::Sender,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    device::Order,
    report::{Sent, tell_progress},
    tally::{Tally, count},
};
use crate::{
    clock::now,
    terminal::{Stop, tell},
};

/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// How long devices may take to send what they have left when the run is over.
const FINISH_MAX: Duration = Duration::from_secs(30);

/// Waits until each device has been connected or has tried often enough. It ends early if none can.
pub(super) async fn connected(tally: &Tally, devices: u64) -> Result<(), Stop> {
    let mut told = Instant::now();
    loop {
        let (known, failing) = (tally.known.load(Relaxed), tally.failing.load(Relaxed));
        if known == 0 && failing == devices {
            let reasons = tally.reasons();
            let reason = reasons.first().map_or("no reason is known", |(reason, _)| reason.as_str());
            return Err(Stop::failed(format_args!("no device could connect: {reason}")));
        }
        // A device that failed at first may have been connected since, and is then counted twice.
        if known + failing >= devices {
            return Ok(());
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell(format_args!("{known} of {devices} devices have connected"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Gives every device its messages at their times.
pub(super) async fn follow(mut fleet: Fleet<'_>, orders: &[Sender<Order>], tally: &Tally) -> Sent {
    let mut sent = Sent::default();
    let mut progress = interval(PROGRESS_EVERY);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    progress.tick().await;
    while let Some(event) = fleet.next() {
        loop {
            let wait = event.at.0 - now().0;
            if wait <= 0 {
                sent.latest_ms = sent.latest_ms.max(wait.unsigned_abs());
                break;
            }
            tokio::select! {
                () = sleep(Duration::from_millis(wait.unsigned_abs())) => {}
                _ = progress.tick() => tell_progress(tally, fleet.share(now())),
            }
        }
        let order = match event.kind {
            Kind::Telemetry => Order::Send(event.payload),
            Kind::Online => Order::Return,
            Kind::Will => Order::Vanish,
        };
        if orders[event.device].try_send(order).is_err() {
            count(&tally.dropped);
        } else if event.kind == Kind::Telemetry {
            sent.messages += 1;
            sent.samples += event.samples as u64;
            sent.malformed += u64::from(event.is_malformed);
        }
    }
    sent
}

/// Lets every device send what is left. Those that cannot are abandoned after a while.
pub(super) async fn finish(mut devices: JoinSet<()>, orders: &[Sender<Order>]) {
    let all = async {
        for order in orders {
            // A device that has ended needs none.
            let _ = order.send(Order::Finish).await;
        }
        while devices.join_next().await.is_some() {}
    };
    let _ = timeout(FINISH_MAX, all).await;
}
