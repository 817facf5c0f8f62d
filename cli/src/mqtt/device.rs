//! One device's life on a broker: it connects, reports that it is online, sends what it is given, and reconnects when
//! its connection is lost.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fleetform_fleet::{Shadow, status};
use fleetform_generator::broker::{DeviceTopics, ShadowTopics};
use rumqttc::mqttbytes::{
    QoS,
    v4::{Connect, LastWill, Packet, PubAck, Subscribe, SubscribeFilter, SubscribeReasonCode},
};
use tokio::{
    sync::mpsc,
    time::{Instant as Moment, sleep, sleep_until},
};
use tokio_rustls::rustls::ClientConfig;

use super::{
    connection::{Broker, Connection},
    outbox::{Message, Outbox},
    pace::Pace,
    tally::{Tally, count},
};

/// How long a connection may be silent before the broker takes the device for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// After how long a device that sends nothing pings the broker, and how long it then waits for the answer.
const PING_EVERY: Duration = Duration::from_secs(45);

/// The wait before connecting again: doubled each time, up to the longest, and half of it random.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_LONGEST: Duration = Duration::from_secs(60);

/// Attempts after which a device that was never connected is counted as failing. It keeps trying.
const FIRST_ATTEMPTS: u32 = 3;

/// Filters in one packet: "Subscriptions per subscribe request" of AWS IoT,
/// <https://docs.aws.amazon.com/general/latest/gr/iot-core.html>.
const FILTERS_MAX: usize = 8;

/// An order to a device.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send a message.
    Send(Vec<u8>),
    /// Disappear without a DISCONNECT, as in a power cut.
    Vanish,
    /// Connect again.
    Return,
    /// Send what is left, then disconnect.
    Finish,
}

/// What all devices share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    pub(crate) qos: QoS,
    /// Whether it retains its status.
    pub(crate) retain_status: bool,
    /// Whether it leaves a will.
    pub(crate) last_will: bool,
}

/// One device.
pub(crate) struct Device {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: String,
    pub(crate) topics: DeviceTopics,
    /// Its shadows that have settings.
    pub(crate) shadows: Vec<OwnShadow>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) chance: fastrand::Rng,
    /// Whether it was ordered to finish.
    pub(crate) is_finishing: bool,
}

/// One of a device's shadows.
pub(crate) struct OwnShadow {
    pub(crate) topics: ShadowTopics,
    /// The settings in it.
    pub(crate) shadow: Shadow,
}

impl OwnShadow {
    fn message(&self, report: Vec<u8>) -> Message {
        Message { topic: self.topics.update.clone(), payload: Bytes::from(report), retained: false }
    }
}

/// How a connection ended.
enum End {
    /// Unintentionally.
    Lost(io::Error),
    Vanished,
    Finished,
}

impl Device {
    /// Runs until it is ordered to finish.
    pub(crate) async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
        let shared = self.shared.clone();
        let tally = &shared.tally;
        let mut outbox = Outbox::new(shared.qos);
        let (mut attempts, mut in_vain, mut is_known) = (0_usize, 0_u32, false);
        loop {
            let slot = shared.pace.slot().await;
            let opened = Connection::open(&shared.broker, attempts, &self.tls, self.connect()).await;
            drop(slot);
            attempts += 1;
            match opened {
                Ok((connection, has_session)) => {
                    in_vain = 0;
                    if !is_known {
                        is_known = true;
                        count(&tally.known);
                    }
                    count(&tally.connected);
                    let end = self.talk(connection, has_session, &mut outbox, &mut orders).await;
                    tally.connected.fetch_sub(1, Relaxed);
                    match end {
                        End::Finished => return,
                        End::Vanished => {
                            if self.away(&mut outbox, &mut orders).await.is_break() {
                                return;
                            }
                        }
                        End::Lost(error) => {
                            count(&tally.lost);
                            tally.reason(format!("the connection was lost: {error}"));
                        }
                    }
                }
                Err(refusal) => {
                    tally.reason(refusal.to_string());
                    in_vain += 1;
                    if in_vain == FIRST_ATTEMPTS && !is_known {
                        count(&tally.failing);
                    }
                }
            }
            if in_vain > 0 {
                sleep(self.wait(in_vain)).await;
            }
        }
    }

    fn connect(&self) -> Connect {
        let shared = &self.shared;
        let mut connect = Connect::new(self.id.as_str());
        connect.keep_alive = KEEP_ALIVE.as_secs() as u16;
        connect.clean_session = false;
        connect.last_will = shared
            .last_will
            .then(|| LastWill::new(self.topics.status.as_str(), status(false), shared.qos, shared.retain_status));
        connect
    }

    /// How long it waits after this many failed attempts.
    fn wait(&mut self, in_vain: u32) -> Duration {
        let longest = WAIT_LONGEST.min(WAIT_FIRST * 2_u32.saturating_pow(in_vain.saturating_sub(1).min(16)));
        longest.mul_f64(0.5 + 0.5 * self.chance.f64())
    }

    async fn talk(
        &mut self,
        mut connection: Connection,
        has_session: bool,
        outbox: &mut Outbox,
        orders: &mut mpsc::Receiver<Order>,
    ) -> End {
        match self.converse(&mut connection, has_session, outbox, orders).await {
            Ok(end) => end,
            Err(error) => End::Lost(error),
        }
    }

    async fn converse(
        &mut self,
        connection: &mut Connection,
        has_session: bool,
        outbox: &mut Outbox,
        orders: &mut mpsc::Receiver<Order>,
    ) -> io::Result<End> {
        let shared = self.shared.clone();
        let tally = &shared.tally;
        if !has_session {
            for subscribe in self.subscribe(outbox) {
                connection.write(&Packet::Subscribe(subscribe))?;
            }
        }
        for publish in outbox.again() {
            count(&tally.repeated);
            connection.write(&Packet::Publish(publish))?;
        }
        // Desired values may have changed meanwhile, and the broker may have published the will.
        for own in self.shadows.iter().rev() {
            count(&tally.own);
            outbox.push_first(own.message(own.shadow.report()));
        }
        count(&tally.own);
        outbox.push_first(self.message_of_status(true));
        let mut awaits_ping = false;
        let mut spoken = Moment::now();
        loop {
            while let Some(publish) = outbox.next(Instant::now()) {
                count(&tally.sent);
                connection.write(&Packet::Publish(publish))?;
                spoken = Moment::now();
            }
            connection.flush().await?;
            if self.is_finishing && outbox.is_empty() {
                connection.write(&Packet::Disconnect)?;
                connection.flush().await?;
                return Ok(End::Finished);
            }
            tokio::select! {
                order = orders.recv(), if !self.is_finishing && outbox.has_room() => match order {
                    Some(Order::Send(payload)) => outbox.push(self.message_of_telemetry(payload)),
                    Some(Order::Vanish) => return Ok(End::Vanished),
                    Some(Order::Return) => {}
                    Some(Order::Finish) | None => {
                        self.is_finishing = true;
                        // After a DISCONNECT the broker does not publish the will.
                        if shared.last_will {
                            count(&tally.own);
                            outbox.push(self.message_of_status(false));
                        }
                    }
                },
                packet = connection.receive() => match packet? {
                    Packet::PubAck(answer) => if let Some(at) = outbox.acknowledge(answer.pkid) {
                        count(&tally.acknowledged);
                        tally.latencies.add(at.elapsed());
                    },
                    Packet::SubAck(answer) => if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        count(&tally.unsubscribed);
                    },
                    Packet::Publish(publish) => {
                        count(&tally.received);
                        let mut shadows = self.shadows.iter_mut();
                        if let Some(own) = shadows.find(|own| publish.topic == own.topics.delta.as_bytes())
                            && let Some(report) = own.shadow.take(&publish.payload)
                        {
                            count(&tally.own);
                            outbox.push(own.message(report));
                        }
                        if publish.qos == QoS::AtLeastOnce {
                            connection.write(&Packet::PubAck(PubAck::new(publish.pkid)))?;
                        }
                    }
                    Packet::PingResp => awaits_ping = false,
                    _ => return Err(io::Error::other("the broker sent a packet that is not for a client")),
                },
                () = sleep_until(spoken + PING_EVERY) => {
                    if awaits_ping {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    connection.write(&Packet::PingReq)?;
                    awaits_ping = true;
                    spoken = Moment::now();
                }
            }
        }
    }

    /// Stays disconnected until it is ordered to connect again, or to finish.
    async fn away(&mut self, outbox: &mut Outbox, orders: &mut mpsc::Receiver<Order>) -> ControlFlow<()> {
        loop {
            match orders.recv().await {
                Some(Order::Return) => return ControlFlow::Continue(()),
                Some(Order::Send(payload)) => {
                    // An order to send while it is disconnected: it connects again.
                    outbox.push(self.message_of_telemetry(payload));
                    return ControlFlow::Continue(());
                }
                Some(Order::Vanish) => {}
                Some(Order::Finish) | None if outbox.is_empty() => return ControlFlow::Break(()),
                Some(Order::Finish) | None => {
                    self.is_finishing = true;
                    return ControlFlow::Continue(());
                }
            }
        }
    }

    /// Its subscriptions, in as many packets as needed.
    fn subscribe(&self, outbox: &mut Outbox) -> Vec<Subscribe> {
        let deltas = self.shadows.iter().map(|own| &own.topics.delta);
        let filters: Vec<&String> = self.topics.subscribe.iter().chain(deltas).collect();
        let packet = |filters: &[&String]| {
            let filters = filters.iter().map(|filter| SubscribeFilter::new((*filter).clone(), QoS::AtLeastOnce));
            let mut subscribe = Subscribe::new_many(filters);
            subscribe.pkid = outbox.next_id();
            subscribe
        };
        filters.chunks(FILTERS_MAX).map(packet).collect()
    }

    fn message_of_status(&self, is_online: bool) -> Message {
        Message {
            topic: self.topics.status.clone(),
            payload: Bytes::from(status(is_online)),
            retained: self.shared.retain_status,
        }
    }

    fn message_of_telemetry(&self, payload: Vec<u8>) -> Message {
        Message { topic: self.topics.telemetry.clone(), payload: Bytes::from(payload), retained: false }
    }
}
