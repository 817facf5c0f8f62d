//! TLS of every client: rustls with *ring*, as docs/decisions/0044 has it.
//!
//! Where the command's or a test's build has aws-lc beside it, rustls would not know which one to take: clients are told
//! here.

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_types::sdk_config::SharedHttpClient;

/// What sends the requests of the AWS SDK's clients.
pub fn aws_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The beginning of a client of anything else.
#[cfg(any(feature = "signed", feature = "deliver"))]
pub fn client() -> reqwest::ClientBuilder {
    // It asks the process for its library. The first answer stays, so that a second one changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
