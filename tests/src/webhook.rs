//! A receiver for webhooks: a real HTTPS server with a certificate from its own authority, which keeps what it
//! receives.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::post,
    serve::Listener,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::Sha256;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
    server::TlsStream,
};

/// One request that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path and the query.
    pub target: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's body, unchanged.
    pub body: Bytes,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A running receiver.
pub struct Receiver {
    address: SocketAddr,
    authority: String,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Listens on an address, with a certificate for its IP.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let (config, authority) = certificate(address).map_err(io::Error::other)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let inbox = Arc::<Inbox>::default();
        let routes = Router::new().route("/{*path}", post(receive)).with_state(Arc::clone(&inbox));
        let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, authority, inbox })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed the receiver's, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Everything received so far.
    pub async fn received(&self) -> Vec<Received> {
        self.inbox.received.lock().await.clone()
    }
}

/// HMAC-SHA-256, as a receiver computes it to compare signatures.
pub fn signature(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

async fn receive(State(inbox): State<Arc<Inbox>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    inbox.received.lock().await.push(Received { target: uri.to_string(), headers, body });
    StatusCode::NO_CONTENT
}

/// An authority, a certificate that it has signed for the address, and the server settings that use it.
fn certificate(address: SocketAddr) -> Result<(ServerConfig, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![address.ip().to_string()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((config, authority.pem()))
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that does not complete the handshake is ignored.
            let Ok((stream, from)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
