//! TLS for every client: rustls with *ring*, as docs/decisions/0044 has it.
//!
//! In a build that also has aws-lc, such as the command's or a test's, rustls cannot choose between the two: clients
//! are given one here.

use std::{env, fs};

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};
use fleetform_engine::base64;
use rustls::RootCertStore;

/// The line before a certificate in a bundle (RFC 7468).
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// The line after a certificate.
const END: &str = "-----END CERTIFICATE-----";

/// The HTTP client for all clients of the AWS SDK.
pub fn aws_client() -> SharedHttpClient {
    trusting(bundle().as_deref())
}

/// A client that trusts the authorities of a bundle. Without any, it reads the operating system's authorities.
fn trusting(bundle: Option<&str>) -> SharedHttpClient {
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let client = match bundle.and_then(context) {
        Some(context) => builder.tls_context(context).build_https(),
        None => builder.build_https(),
    };
    SharedHttpClient::new(Untried(client))
}

/// The operating system's authorities, if they are in a single file.
///
/// The client would also read every other file in that folder, which are the same certificates: 290 files on Debian. If
/// the environment names files or folders, or there is no such file, the client's own lookup is used.
fn bundle() -> Option<String> {
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|variable| env::var_os(variable).is_some()) {
        return None;
    }
    fs::read_to_string(openssl_probe::probe().cert_file?).ok()
}

fn context(bundle: &str) -> Option<TlsContext> {
    let authorities = authorities(bundle);
    if authorities.is_empty() {
        return None;
    }
    let mut trusted = TrustStore::empty();
    for authority in authorities {
        trusted.add_pem_certificate(authority);
    }
    TlsContext::builder().with_trust_store(trusted).build().ok()
}

/// The certificates of a bundle, each in the form that the client takes. Anything else in the bundle, and certificates
/// that rustls cannot parse, are left out: the client would end the process.
fn authorities(bundle: &str) -> Vec<String> {
    let mut readable = RootCertStore::empty();
    let mut certificate = Vec::new();
    let authority = |text: &str| {
        let (body, _) = text.split_once(END)?;
        let body: String = body.split_ascii_whitespace().collect();
        certificate.clear();
        base64::decode_onto(body.as_bytes(), &mut certificate).ok()?;
        readable.add(certificate.as_slice().into()).ok()?;
        Some(format!("{BEGIN}\n{body}\n{END}\n"))
    };
    bundle.split(BEGIN).skip(1).filter_map(authority).collect()
}

/// A client that builds its connector at the first request.
///
/// For every service, the inner client builds one only to see that it can, and discards it. Each time it reads all
/// authorities.
#[derive(Debug)]
struct Untried(SharedHttpClient);

impl HttpClient for Untried {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

/// The builder for every other client.
#[cfg(any(feature = "signed", feature = "deliver"))]
pub fn client() -> reqwest::ClientBuilder {
    // The client asks the process for its TLS library. The first installation stays, and later ones have no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Region, retry::RetryConfig},
        error::SdkError,
    };
    use axum::Router;

    use super::*;
    use crate::tls_server;

    /// A certificate of the test's own.
    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        rcgen::CertificateParams::new(Vec::new()).expect("parameters").self_signed(&key).expect("a certificate").pem()
    }

    /// Deletes an object over HTTPS with a client that trusts these authorities.
    async fn call(bundle: &str, port: u16) -> Result<(), String> {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(trusting(Some(bundle)))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .force_path_style(true)
            .endpoint_url(format!("https://localhost:{port}"))
            .build();
        match Client::from_conf(config).delete_object().bucket("b").key("k").send().await {
            Ok(_) => Ok(()),
            Err(SdkError::DispatchFailure(failure)) => {
                Err(failure.as_connector_error().map(|error| format!("{error:?}")).unwrap_or_default())
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn what_is_no_certificate_is_left_out_of_a_bundle_and_the_rest_stays() {
        let certificates = [certificate(), certificate(), certificate()];
        let [first, second, third] = certificates.each_ref().map(|text| text.trim_end());
        let end_in_the_line = second.replace(&format!("\n{END}"), END).replace('\n', "\r\n");
        let bundle = format!(
            "# Ärger & Söhne\n{first}\n{BEGIN}\nAAAA\n{END}\n{BEGIN}\nno base64\n{END}\n-----BEGIN X509 CRL-----\n!\n\
             {end_in_the_line} -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{}",
            third.trim_end_matches(END),
        );
        let found = authorities(&bundle);
        let bodies = |text: &String| text.replace(char::is_whitespace, "");
        let expected: Vec<String> = certificates[..2].iter().map(bodies).collect();
        assert_eq!(found.iter().map(bodies).collect::<Vec<_>>(), expected, "the third has no end");
        assert!(context(&bundle).is_some() && context("no certificate").is_none());
    }

    #[tokio::test]
    async fn a_server_is_trusted_by_its_authority_in_the_bundle_and_by_no_other() {
        let (address, authority) = tls_server::serve(Router::new().fallback(|| async {})).await;
        let others = certificate();
        // The client parses them when it builds its connector, and would end the process if it could not.
        let among_others = format!("{others}-----BEGIN X509 CRL-----\n!\n {authority}{BEGIN}\nMIIB");
        call(&among_others, address.port()).await.expect("a trusted server");
        let refused = call(&others, address.port()).await.expect_err("another authority");
        assert!(refused.contains("InvalidCertificate"), "{refused}");
    }

    #[test]
    fn the_authorities_of_this_machine_are_found_in_one_file() {
        if let Some(bundle) = bundle() {
            assert!(!authorities(&bundle).is_empty());
        }
    }
}
