//! One connection to a broker: TCP, TLS, CONNECT, and packets both ways. Knows nothing of their meaning.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use rumqttc::mqttbytes::{
    Error as PacketError,
    v4::{Connect, ConnectReturnCode, Packet},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// The largest packet, both ways: a message of AWS IoT has at most 128 KiB, and its topic 256 bytes.
const PACKET_BYTES_MAX: usize = 132 << 10;

/// How long connecting may take. A broker that many devices connect to at once is slow.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Where a broker is.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    /// Its name, which its certificate must have.
    pub(crate) name: ServerName<'static>,
    /// Its addresses, of which there is at least one.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the broker cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    #[error("the broker refused the client: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker closed the connection before it accepted the client: {0}")]
    Closed(#[source] io::Error),
    #[error("the broker answered no CONNACK")]
    NoAnswer,
    #[error("it took longer than {} s", CONNECT_MAX.as_secs())]
    Late,
}

/// A connection that the broker has accepted.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    received: BytesMut,
    written: BytesMut,
}

impl Connection {
    /// Connects, and returns whether the broker kept the client's session. `attempt` picks one of the broker's
    /// addresses.
    pub(crate) async fn open(
        broker: &Broker,
        attempt: usize,
        tls: &Arc<ClientConfig>,
        connect: Connect,
    ) -> Result<(Self, bool), Refusal> {
        timeout(CONNECT_MAX, Self::open_at_last(broker, attempt, tls, connect)).await.unwrap_or(Err(Refusal::Late))
    }

    async fn open_at_last(
        broker: &Broker,
        attempt: usize,
        tls: &Arc<ClientConfig>,
        connect: Connect,
    ) -> Result<(Self, bool), Refusal> {
        let address = broker.addresses[attempt % broker.addresses.len()];
        let stream = TcpStream::connect(address).await.map_err(Refusal::Unreachable)?;
        stream.set_nodelay(true).map_err(Refusal::Unreachable)?;
        let stream = TlsConnector::from(tls.clone()).connect(broker.name.clone(), stream).await;
        let stream = stream.map_err(Refusal::Tls)?;
        let mut connection = Self { stream, received: BytesMut::new(), written: BytesMut::new() };
        connection.write(&Packet::Connect(connect)).map_err(Refusal::Closed)?;
        connection.flush().await.map_err(Refusal::Closed)?;
        // With TLS 1.3, the client learns only after the handshake that the broker refuses its certificate.
        match connection.receive().await.map_err(Refusal::Closed)? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {
                Ok((connection, answer.session_present))
            }
            Packet::ConnAck(answer) => Err(Refusal::Refused(answer.code)),
            _ => Err(Refusal::NoAnswer),
        }
    }

    /// Appends a packet to those that are to be sent.
    pub(crate) fn write(&mut self, packet: &Packet) -> io::Result<()> {
        packet.write(&mut self.written, PACKET_BYTES_MAX).map_err(io::Error::other)?;
        Ok(())
    }

    /// Sends what was written. If this is canceled half way, the connection can no longer be used.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.written.is_empty() {
            self.stream.write_all_buf(&mut self.written).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// The next packet. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.received, PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(PacketError::InsufficientBytes(_)) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
