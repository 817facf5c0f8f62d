//! A certificate authority for a bench: certificates for a broker on this machine and for each device, and the broker's
//! configuration. What exists already is kept, except the configuration, which follows the platform file.
//!
//! Only the bench should trust it: its key is stored next to its certificate.

use std::{fs, io::Write as _, net::IpAddr};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{
    broker::{self, PLATFORM},
    platform::Platform,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::certificates::files;
use crate::terminal::Stop;

/// The folder of a test authority, as a whole path.
#[derive(Clone, Debug)]
pub(crate) struct TestCa {
    folder: Utf8PathBuf,
}

impl TestCa {
    /// The certificate to trust.
    pub(crate) fn authority(&self) -> Utf8PathBuf {
        self.folder.join("ca.crt")
    }

    /// The folder of the devices' certificates.
    pub(crate) fn devices(&self) -> Utf8PathBuf {
        self.folder.join("devices")
    }

    /// What mosquitto is started with.
    pub(crate) fn configuration(&self) -> Utf8PathBuf {
        self.folder.join("mosquitto.conf")
    }

    /// Makes what is missing in a folder: for a broker of this name and port, and for these devices.
    pub(crate) fn prepare<'d>(
        folder: &Utf8Path,
        platform: &Platform,
        (host, port): (&str, u16),
        devices: impl Iterator<Item = &'d str>,
    ) -> Result<Self, Stop> {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        let folder = folder.canonicalize_utf8().map_err(|error| unwritable(folder, error))?;
        if folder.as_str().contains(['\n', '\r']) {
            return Err(Stop::bad_input("the path of the folder has a line break, which mosquitto cannot read"));
        }
        let this = Self { folder };
        let issuer = this.issuer()?;
        this.certify(&issuer, &this.folder, "server", &server(host))?;
        this.certify(&issuer, &this.folder, "platform", &client(PLATFORM))?;
        let folder = this.devices();
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
        for device in devices {
            this.certify(&issuer, &folder, device, &client(device))?;
        }
        let (certificate, key) = files(&this.folder, "server");
        let access = this.folder.join("access.acl");
        let authority = this.authority();
        let place = broker::Place {
            port,
            authority: authority.as_str(),
            certificate: certificate.as_str(),
            key: key.as_str(),
            access: access.as_str(),
        };
        write(&access, &broker::access(platform), 0o600)?;
        write(&this.configuration(), &broker::configuration(platform, place), 0o600)?;
        Ok(this)
    }

    /// The authority: the one that is there, or a new one.
    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, Stop> {
        let (certificate, key) = files(&self.folder, "ca");
        let params = authority();
        if let Ok(text) = fs::read_to_string(&key) {
            let pair = KeyPair::from_pem(&text);
            let pair = pair.map_err(|error| Stop::bad_input(format_args!("cannot use `{key}`: {error}")))?;
            return Ok(Issuer::new(params, pair));
        }
        let pair = KeyPair::generate().map_err(Stop::failed)?;
        let signed = params.self_signed(&pair).map_err(Stop::failed)?;
        write(&certificate, &signed.pem(), 0o644)?;
        // The key last: where it is, so is the certificate.
        write(&key, &pair.serialize_pem(), 0o600)?;
        Ok(Issuer::new(params, pair))
    }

    /// A certificate and its key, unless they are there.
    fn certify(
        &self,
        issuer: &Issuer<'static, KeyPair>,
        folder: &Utf8Path,
        name: &str,
        params: &CertificateParams,
    ) -> Result<(), Stop> {
        let (certificate, key) = files(folder, name);
        if certificate.exists() && key.exists() {
            return Ok(());
        }
        let pair = KeyPair::generate().map_err(Stop::failed)?;
        let signed = params.signed_by(&pair, issuer).map_err(Stop::failed)?;
        write(&key, &pair.serialize_pem(), 0o600)?;
        write(&certificate, &signed.pem(), 0o644)
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

fn authority() -> CertificateParams {
    let mut params = named("fleetform test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn client(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// For the name by which it is called, and for those of this machine.
fn server(host: &str) -> CertificateParams {
    let mut params = named(host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut names = vec![host];
    names.extend(["localhost", "127.0.0.1", "::1"].into_iter().filter(|name| *name != host));
    params.subject_alt_names = names
        .into_iter()
        .filter_map(|name| match name.parse::<IpAddr>() {
            Ok(address) => Some(SanType::IpAddress(address)),
            Err(_) => name.try_into().ok().map(SanType::DnsName),
        })
        .collect();
    params
}

/// Writes a file atomically, with the given mode.
fn write(path: &Utf8Path, text: &str, mode: u32) -> Result<(), Stop> {
    let folder = path.parent().expect("a file has a folder");
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(folder).map_err(|error| unwritable(path, error))?;
    file.write_all(text.as_bytes()).map_err(|error| unwritable(path, error))?;
    file.persist(path).map_err(|error| unwritable(path, error.error))?;
    Ok(())
}

fn unwritable(path: &Utf8Path, error: std::io::Error) -> Stop {
    Stop::failed(format_args!("cannot write `{path}`: {error}"))
}
