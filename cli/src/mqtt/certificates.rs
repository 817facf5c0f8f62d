//! Certificates of devices as files, `<device>.crt` and `<device>.key` in one folder, and what TLS makes of them.

use std::{fs, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::terminal::Stop;

/// The certificate and the key of a device in a folder, as `scripts/devices.sh` names them.
pub(crate) fn files(folder: &Utf8Path, device: &str) -> (Utf8PathBuf, Utf8PathBuf) {
    (folder.join(format!("{device}.crt")), folder.join(format!("{device}.key")))
}

/// What every device's TLS has in common.
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    broker: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// Trusts the brokers whose certificates were signed by one of this file, or by one that this machine trusts.
    pub(crate) fn new(authority: Option<&Utf8Path>) -> Result<Self, Stop> {
        let mut roots = RootCertStore::empty();
        match authority {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unusable(path, error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(Stop::bad_input("this machine trusts no certificate authority")
                        .help("name the broker's with --ca"));
                }
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let broker = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let broker = broker.map_err(|error| Stop::bad_input(error).help("name another authority with --ca"))?;
        Ok(Self { provider, broker })
    }

    /// TLS with the certificate of a device. `alpn` is the protocol to negotiate with the broker, if any.
    pub(crate) fn client(&self, folder: &Utf8Path, device: &str, alpn: Option<&str>) -> Result<ClientConfig, Stop> {
        let (certificate, key) = files(folder, device);
        let chain = certificates(&certificate)?;
        let bytes = fs::read(&key).map_err(|error| unreadable(&key, error))?;
        let key_bytes = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| unusable(&key, error))?;
        let builder = ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let builder =
            builder.expect("the provider has what the versions need").with_webpki_verifier(self.broker.clone());
        let mut config = builder.with_client_auth_cert(chain, key_bytes).map_err(|error| unusable(&key, error))?;
        // Room for the sessions of one device with one broker is much more than a device.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.map(|protocol| protocol.as_bytes().to_vec()).into_iter().collect();
        Ok(config)
    }
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, Stop> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| unusable(path, error))?;
    if certificates.is_empty() { Err(unusable(path, "it has no certificate")) } else { Ok(certificates) }
}

fn unreadable(path: &Utf8Path, error: std::io::Error) -> Stop {
    Stop::bad_input(format_args!("cannot read `{path}`: {error}"))
        .help("each device needs <device>.crt and <device>.key: `scripts/devices.sh` or --test-ca makes them")
}

fn unusable(path: &Utf8Path, error: impl std::fmt::Display) -> Stop {
    Stop::bad_input(format_args!("cannot use `{path}`: {error}"))
}
