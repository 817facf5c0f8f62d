//! Signatures of webhook messages, as Standard Webhooks describes them (version 1, symmetric).
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

/// Why a secret cannot sign. The secret is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It is empty, or white space.
    #[error("the secret is empty")]
    Empty,
    /// It is `whsec_` followed by something other than base64.
    #[error("the secret begins with `whsec_` but is not base64 after it")]
    NotBase64,
    /// It is a JSON object, but not one that holds secrets.
    #[error("the secret is a JSON object without a text `current`, or with more than `current` and `previous`")]
    NotAPair,
}

/// The keys that sign a webhook's messages: one, or two during a rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeys(Vec<Vec<u8>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({} keys)", self.0.len())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    current: String,
    previous: Option<String>,
}

impl SigningKeys {
    /// Parses a secret: `whsec_` and base64, or any other string, which stands for its own bytes; or, during a
    /// rotation, a JSON object with two such strings, `current` and `previous`.
    pub fn parse(secret: &str) -> Result<Self, InvalidSecret> {
        let secret = secret.trim();
        if !secret.starts_with('{') {
            return Ok(Self(vec![key(secret)?]));
        }
        let pair: Pair = serde_json::from_str(secret).map_err(|_| InvalidSecret::NotAPair)?;
        let mut keys = vec![key(&pair.current)?];
        if let Some(previous) = &pair.previous {
            keys.push(key(previous)?);
        }
        Ok(Self(keys))
    }

    /// The value of `webhook-signature`: one signature for each key, separated by spaces.
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
                hmac.update(format!("{id}.{timestamp_s}.").as_bytes());
                hmac.update(body);
                format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
            })
            .collect();
        signatures.join(" ")
    }
}

fn key(text: &str) -> Result<Vec<u8>, InvalidSecret> {
    match text.trim() {
        "" | "whsec_" => Err(InvalidSecret::Empty),
        text => match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| InvalidSecret::NotBase64),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks reference libraries.
    #[test]
    fn the_reference_example_is_signed_alike() {
        let keys = SigningKeys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_give_two_signatures() {
        let both = SigningKeys::parse(r#"{ "current": "new key", "previous": "old key" }"#).expect("two secrets");
        let alone = |secret| SigningKeys::parse(secret).expect("a secret").sign("id", 1, b"{}");
        assert_eq!(both.sign("id", 1, b"{}"), format!("{} {}", alone("new key"), alone("old key")));
        assert_eq!(alone(" new key\n"), alone("new key"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        for (secret, error) in [
            ("", InvalidSecret::Empty),
            (" \n", InvalidSecret::Empty),
            ("whsec_", InvalidSecret::Empty),
            ("whsec_not base64!", InvalidSecret::NotBase64),
            (r#"{ "key": "x" }"#, InvalidSecret::NotAPair),
            (r#"{ "current": "x", "third": "y" }"#, InvalidSecret::NotAPair),
            (r#"{ "current": "", "previous": "y" }"#, InvalidSecret::Empty),
        ] {
            assert_eq!(SigningKeys::parse(secret).expect_err(secret), error);
        }
        assert_eq!(format!("{:?}", SigningKeys::parse("hunter2")), "Ok(SigningKeys(1 keys))");
    }
}
