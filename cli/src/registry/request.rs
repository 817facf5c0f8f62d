//! Keys, requests for certificates, and whose key a certificate is of.

use fleetform_generator::platform::identity::Key;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _,
    RsaKeySize,
};
use tokio_rustls::rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject as _},
};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// The version of a certificate, which the first version leaves out.
const VERSION: u8 = 0xa0;

/// A public key with its algorithm, as requests and certificates carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(Vec<u8>);

#[cfg(test)]
impl PublicKey {
    pub(super) fn into_der(self) -> Vec<u8> {
        self.0
    }
}

/// A new private key.
pub(crate) fn new_key(kind: Key) -> Result<String, String> {
    let key = match kind {
        Key::EcP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Key::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    };
    key.map(|key| key.serialize_pem()).map_err(|error| error.to_string())
}

/// Longest common name of a subject, in characters: `ub-common-name` of RFC 5280.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// A request for a certificate of a key. Its subject is for people only: a longer name is cut.
pub(crate) fn new_request(key: &str, name: &str) -> Result<String, String> {
    let key = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let common_name: String = name.chars().take(COMMON_NAME_CHARS_MAX).collect();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let request = params.serialize_request(&key).and_then(|request| request.pem());
    request.map_err(|error| error.to_string())
}

/// The public key of a private one.
pub(crate) fn of_key(pem: &str) -> Result<PublicKey, String> {
    let key = KeyPair::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(PublicKey(key.subject_public_key_info()))
}

/// The public key of a request that was signed with its private key.
pub(crate) fn of_request(pem: &str) -> Option<PublicKey> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok()?;
    let mut outer = Values(Values(&der).sequence()?.content);
    let info = outer.sequence()?;
    let algorithm = outer.sequence()?.content;
    let signature = outer.bits()?;
    let mut parts = Values(info.content);
    let (_version, _subject) = (parts.next()?, parts.sequence()?);
    let key = parts.sequence()?;
    let mut of_key = Values(key.content);
    let (key_algorithm, bits) = (of_key.sequence()?.content, of_key.bits()?);
    let known = aws_lc_rs::default_provider().signature_verification_algorithms;
    let is_signed = known.all.iter().any(|known| {
        known.signature_alg_id().as_ref() == algorithm
            && known.public_key_alg_id().as_ref() == key_algorithm
            && known.verify_signature(bits, info.whole, signature).is_ok()
    });
    is_signed.then(|| PublicKey(key.whole.to_vec()))
}

/// The public key of a certificate.
pub(crate) fn of_certificate(pem: &str) -> Option<PublicKey> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let signed = Values(Values(&der).sequence()?.content).sequence()?;
    let mut parts = Values(signed.content);
    if parts.next()?.tag == VERSION {
        let _serial = parts.next()?;
    }
    let [_algorithm, _issuer, _validity, _subject] =
        [parts.sequence()?, parts.sequence()?, parts.sequence()?, parts.sequence()?];
    Some(PublicKey(parts.sequence()?.whole.to_vec()))
}

/// A value of DER.
struct Value<'d> {
    tag: u8,
    whole: &'d [u8],
    content: &'d [u8],
}

/// Values of DER, one after the other.
struct Values<'d>(&'d [u8]);

impl<'d> Values<'d> {
    fn next(&mut self) -> Option<Value<'d>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if length.len() > 3 {
                return None;
            }
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Value { tag, whole, content })
    }

    fn sequence(&mut self) -> Option<Value<'d>> {
        self.next().filter(|value| value.tag == SEQUENCE)
    }

    /// Bits, as many as fill whole bytes.
    fn bits(&mut self) -> Option<&'d [u8]> {
        let value = self.next().filter(|value| value.tag == BIT_STRING)?;
        value.content.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn a_request_a_key_and_a_certificate_agree_on_the_key() {
        let other = |algorithm| KeyPair::generate_for(algorithm).expect("a key").serialize_pem();
        let kinds = [Key::EcP256, Key::Rsa2048].map(|kind| new_key(kind).expect("a key"));
        let others = [other(&PKCS_ECDSA_P384_SHA384), other(&PKCS_ED25519)];
        for pem in kinds.into_iter().chain(others) {
            let key = KeyPair::from_pem(&pem).expect("a key");
            let public = of_key(&pem).expect("a key");
            assert_eq!(of_request(&new_request(&pem, "sensor-001").expect("a request")), Some(public.clone()));
            let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
            assert_eq!(of_certificate(&certificate.pem()), Some(public));
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_a_subject_is_cut() {
        let key = new_key(Key::EcP256).expect("a key");
        for (length, kept) in [(1, 1), (64, 64), (65, 64), (128, 64)] {
            let request = new_request(&key, &"d".repeat(length)).expect("a request");
            let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).expect("a request");
            let longest = der.chunk_by(|one, next| one == next).map(<[u8]>::len).max();
            assert_eq!(longest.filter(|_| length > 1).unwrap_or(1), kept, "of {length}");
            assert_eq!(of_request(&request), of_key(&key).ok());
        }
    }

    #[test]
    fn a_request_that_another_key_signed_is_none() {
        let request = new_request(&new_key(Key::EcP256).expect("a key"), "sensor-001").expect("a request");
        let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).expect("a request");
        let mut params = der.to_vec();
        // The last byte is the signature's.
        *params.last_mut().expect("bytes") ^= 1;
        let pem = |der: &[u8]| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let (begin, end) = ("-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----");
            format!("{begin}\n{}\n{end}\n", STANDARD.encode(der))
        };
        assert!(of_request(&pem(&der)).is_some());
        assert_eq!(of_request(&pem(&params)), None);
        for at in 0..der.len() {
            assert_eq!(of_request(&pem(&der[..at])), None, "cut after {at} bytes");
        }
        assert_eq!(of_request("-----BEGIN CERTIFICATE REQUEST-----"), None);
        assert_eq!(of_certificate(&request), None);
    }
}
