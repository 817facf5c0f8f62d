//! `[identity.authorities.X]`: your own certificate authority, which signs device certificates.
//!
//! Only its certificate is known here. Its private key stays with its owner and must never be in this file.

use std::collections::{BTreeMap, btree_map::Entry};

use fleetform_engine::ids::AuthorityId;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};
use x509_cert::{
    Certificate, Version,
    der::{Decode as _, EncodePem as _, pem::LineEnding},
    ext::pkix::{BasicConstraints, KeyUsage},
};

use super::{Project, identity::Provisioning};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    schema::types::Table,
    source::{At, Document},
};

/// Maximum number of authorities in a platform. Each has a topic rule.
pub(crate) const COUNT_MAX: usize = 10;

/// Longest CA certificate that AWS IoT accepts, in characters:
/// <https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterCACertificate.html>.
const CHARS_MAX: usize = 65_536;

/// The first and last line of a PEM certificate.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// `identity.authorities.X` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAuthority {
    /// The CA certificate, as PEM. Its private key stays offline.
    #[schemars(required, length(min = 1, max = CHARS_MAX))]
    pub(crate) certificate: Option<String>,
}

/// A certificate authority that signs device certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The CA certificate, as PEM.
    pub certificate: String,
    /// Identifies the certificate, whatever its name here: the start of the SHA-256 of its DER, in hexadecimal.
    pub fingerprint: SmolStr,
}

/// Checks the authorities of a platform.
pub(crate) fn check(
    provisioning: Provisioning,
    raw: Option<&Table<AuthorityId, RawAuthority>>,
    at: &At<'_>,
    context: &Context<'_>,
) -> BTreeMap<AuthorityId, Authority> {
    let table = at.key("authorities");
    let written = raw.into_iter().flat_map(|raw| &raw.0);
    let is_wanted = match provisioning {
        Provisioning::Jitp => true,
        Provisioning::Csr | Provisioning::FleetClaim | Provisioning::ServerKeys => false,
    };
    if is_wanted && raw.is_none_or(|raw| raw.0.is_empty()) {
        let message = "devices that come with certificates of one's own need an authority that has signed them";
        context.report(
            Diagnostic::new(Code::MissingKey, context.value(&at.key("provisioning")), message)
                .help("declare it: [identity.authorities.factory-1] with its `certificate`"),
        );
    }
    if !is_wanted && context.is_written(&table) {
        let message = "authorities sign nothing where devices get their certificates from AWS IoT";
        context.report(
            Diagnostic::new(Code::KeysExclude, context.key(&table), message)
                .help("write provisioning = \"jitp\"; what only one environment has belongs below its `set`"),
        );
    }
    let mut first = BTreeMap::new();
    let mut authorities = BTreeMap::new();
    for (id, raw) in written {
        let Some(text) = raw.certificate.as_deref() else { continue };
        let place = table.key(id.as_str());
        let place = place.key("certificate");
        let problem = match Authority::read(text) {
            Err(problem) => problem,
            Ok(authority) => match first.entry(authority.fingerprint.clone()) {
                Entry::Vacant(free) => {
                    free.insert(context.value(&place));
                    authorities.insert(id.clone(), authority);
                    continue;
                }
                Entry::Occupied(taken) => {
                    context.report(
                        Diagnostic::new(
                            Code::Duplicate,
                            context.value(&place),
                            "two authorities have this certificate",
                        )
                        .related(taken.get().clone(), "the first one")
                        .help("remove one of them"),
                    );
                    continue;
                }
            },
        };
        let (code, message, help) = problem.said();
        context.report(Diagnostic::new(code, context.value(&place), message).help(help));
    }
    authorities
}

/// What a text is if it is not the certificate of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    PrivateKey,
    NoCertificate,
    Several,
    Malformed,
    NoAuthority,
}

impl Problem {
    fn said(self) -> (Code, &'static str, &'static str) {
        const CERTIFICATE: &str =
            "paste the certificate of the authority that signs devices, from `-----BEGIN CERTIFICATE-----` to its end";
        match self {
            Self::PrivateKey => (
                Code::PastedSecret,
                "a private key stands here",
                "take it out, and take it for known: have the authority make another. Only its certificate belongs here",
            ),
            Self::NoCertificate => (Code::InvalidAuthority, "this is no certificate as PEM", CERTIFICATE),
            Self::Several => (
                Code::InvalidAuthority,
                "more than one certificate stands here",
                "keep the one that signs devices; AWS IoT asks for no other of its chain",
            ),
            Self::Malformed => (Code::InvalidAuthority, "this certificate cannot be read", CERTIFICATE),
            Self::NoAuthority => (
                Code::InvalidAuthority,
                "this certificate may not sign others",
                "paste the authority's: one of version 3 whose basic constraints say `CA:TRUE`, and whose key may sign certificates",
            ),
        }
    }
}

impl Authority {
    /// Reads the only certificate in a text.
    fn read(text: &str) -> Result<Self, Problem> {
        if text.contains("PRIVATE KEY") {
            return Err(Problem::PrivateKey);
        }
        let text = text.trim();
        if !text.starts_with(BEGIN) || !text.ends_with(END) {
            return Err(Problem::NoCertificate);
        }
        if text.matches(BEGIN).count() > 1 {
            return Err(Problem::Several);
        }
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| Problem::Malformed)?;
        let certificate = Certificate::from_der(&der).map_err(|_| Problem::Malformed)?;
        let signed = &certificate.tbs_certificate;
        let constraints = signed.get::<BasicConstraints>().map_err(|_| Problem::Malformed)?;
        let usage = signed.get::<KeyUsage>().map_err(|_| Problem::Malformed)?;
        let may_sign = constraints.is_some_and(|(_, constraints)| constraints.ca)
            && usage.is_none_or(|(_, usage)| usage.key_cert_sign());
        if signed.version != Version::V3 || !may_sign {
            return Err(Problem::NoAuthority);
        }
        // Re-encoded, which normalizes line ends and drops any surrounding text.
        let certificate = certificate.to_pem(LineEnding::LF).map_err(|_| Problem::Malformed)?;
        let digest = Sha256::digest(&der);
        let fingerprint = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes of thirty-two"));
        Ok(Self { certificate, fingerprint: format_smolstr!("{fingerprint:016x}") })
    }
}

/// Checks that no account and region has the same authority twice, because AWS IoT registers each only once there.
pub(crate) fn check_environments(project: &Project, document: &Document<'_>) -> Vec<Diagnostic> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for (id, platform) in &project.environments {
        let environment = &platform.environment;
        for (name, authority) in &platform.identity.authorities {
            let place = (&environment.account, &environment.region, &authority.fingerprint);
            let Some(other) = first.insert(place, id) else { continue };
            let at = At::root("environments");
            let message = format!(
                "environments `{other}` and `{id}` have the authority `{name}` in one account and region, where AWS IoT knows \
                 it once"
            );
            found.push(
                Diagnostic::new(Code::Duplicate, document.key_span(&at.key(id.as_str()).steps()), message)
                    .help("give each an authority of its own below `set`, or an account of its own"),
            );
        }
    }
    found
}
